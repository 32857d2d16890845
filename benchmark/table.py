"""Tables as data: one definition, written as Markdown, CSV, JSON or, by report/page.html, HTML.

A column's header, format and accessor stand in one place. Numbers stay numbers until a table is
written; what doesn't exist is None, and shown as a dash.
"""

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

Cell = str | float | int | None
Row = TypeVar("Row")

NO_PRICE = "no price"
"""In place of a sum of money where the instance's price isn't known."""


@dataclass(frozen=True)
class Column(Generic[Row]):
    """`spec` is a format spec, with `$` in front for money."""

    header: str
    spec: str
    of: Callable[[Row], Cell]

    def show(self, cell: Cell) -> str:
        if cell is None:
            return "–"
        if isinstance(cell, str):
            return cell
        if self.spec.startswith("$"):
            return "$" + format(cell, self.spec[1:])
        return format(cell, self.spec)


def columns(headers: Iterable[str], spec: str, of: Callable[[str, Row], Cell]) -> list[Column[Row]]:
    """A column for each header, whose cells are of the header and the row."""
    return [Column(header, spec, partial(of, header)) for header in headers]


@dataclass(frozen=True)
class Table(Generic[Row]):
    """`statement` holds under what conditions the figures were got; it is shown with the table."""

    slug: str
    title: str
    columns: Sequence[Column[Row]]
    rows: Sequence[Row]
    statement: str = ""
    notes: Sequence[str] = ()

    @property
    def headers(self) -> list[str]:
        return [column.header for column in self.columns]

    @property
    def cells(self) -> list[list[Cell]]:
        return [[column.of(row) for column in self.columns] for row in self.rows]

    @property
    def shown(self) -> list[list[str]]:
        """The cells as text."""
        return [
            [column.show(cell) for column, cell in zip(self.columns, row, strict=True)]
            for row in self.cells
        ]

    @property
    def texts(self) -> list[bool]:
        """By column, whether it holds text and so is set to the left."""
        return [
            any(isinstance(column.of(row), str) for row in self.rows) for column in self.columns
        ]

    def documents(self) -> list[dict[str, Cell]]:
        """Each row's cells by header, numbers as they are."""
        return [dict(zip(self.headers, row, strict=True)) for row in self.cells]

    def markdown(self, heading: str = "##") -> str:
        def line(cells: Sequence[str]) -> str:
            return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

        lines = [f"{heading} {self.title}", ""] if heading else []
        lines += [
            line(self.headers),
            line(["---" if text else "---:" for text in self.texts]),
            *(line(row) for row in self.shown),
            "",
            f"_{self.statement}_",
        ]
        for note in self.notes:
            lines += ["", note]
        return "\n".join(lines) + "\n"

    def csv(self) -> str:
        """Every line says the conditions too, where there are any."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([*self.headers, *(["conditions"] if self.statement else [])])
        said = [self.statement] if self.statement else []
        writer.writerows([*row, *said] for row in self.cells)
        return out.getvalue()

    def document(self) -> dict[str, Any]:
        """For JSON: the numbers as they are."""
        return {
            "title": self.title,
            "conditions": self.statement,
            "notes": list(self.notes),
            "rows": self.documents(),
        }
