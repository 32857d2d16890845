"""Tables as data: one definition, written as Markdown, CSV, JSON or HTML.

Numbers stay numbers until a table is written; `Column.spec` is a format spec, with `$` in front
for money. None is written as a dash.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

from benchmark.analysis import VariantFigures
from benchmark.records import Results, ServedVariant
from benchmark.stats import change_matrix

Cell = str | float | int | None

NO_PRICE = "no price"
"""In place of a sum of money where the instance's price isn't known."""
LAPTOP = "laptop, small model: ratios between variants here say nothing about AWS"


@dataclass(frozen=True)
class Column:
    name: str
    spec: str = ""

    def show(self, cell: Cell) -> str:
        if cell is None:
            return "–"
        if isinstance(cell, str):
            return cell
        if self.spec.startswith("$"):
            return "$" + format(cell, self.spec[1:])
        return format(cell, self.spec)


@dataclass(frozen=True)
class Table:
    """`statement` holds under what conditions the figures were got; it is shown with the table."""

    slug: str
    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    statement: str
    notes: Sequence[str] = field(default=())

    def markdown(self, heading: str = "##") -> str:
        def line(cells: Sequence[str]) -> str:
            return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

        lines = [f"{heading} {self.title}", ""] if heading else []
        lines += [
            line([column.name for column in self.columns]),
            line(["---" if left else "---:" for left in self._is_text()]),
            *(line(self._shown(row)) for row in self.rows),
            "",
            f"_{self.statement}_",
        ]
        for note in self.notes:
            lines += ["", note]
        return "\n".join(lines) + "\n"

    def csv(self) -> str:
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([column.name for column in self.columns] + ["conditions"])
        writer.writerows([*row, self.statement] for row in self.rows)
        return out.getvalue()

    def html(self) -> str:
        classes = [' class="text"' if text else "" for text in self._is_text()]

        def line(tag: str, cells: Sequence[str]) -> str:
            pairs = zip(classes, cells, strict=True)
            return "".join(f"<{tag}{look}>{escape(cell)}</{tag}>" for look, cell in pairs)

        head = line("th", [column.name for column in self.columns])
        body = "".join(f"<tr>{line('td', self._shown(row))}</tr>" for row in self.rows)
        notes = "".join(f"<p>{escape(note)}</p>" for note in self.notes)
        return (
            f'<section id="{self.slug}"><h2>{escape(self.title)}</h2>'
            f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
            f'</div><p class="statement">{escape(self.statement)}</p>{notes}</section>'
        )

    def document(self) -> dict[str, object]:
        """For JSON: the numbers as they are."""
        names = [column.name for column in self.columns]
        return {
            "title": self.title,
            "conditions": self.statement,
            "notes": list(self.notes),
            "rows": [dict(zip(names, row, strict=True)) for row in self.rows],
        }

    def _is_text(self) -> list[bool]:
        return [any(isinstance(row[i], str) for row in self.rows) for i in range(len(self.columns))]

    def _shown(self, row: Sequence[Cell]) -> list[str]:
        return [column.show(cell) for column, cell in zip(self.columns, row, strict=True)]


def base_load(figures: Sequence[VariantFigures]) -> str:
    loads = dict.fromkeys(f"concurrency {f.base.concurrency}" for f in figures)
    return " / ".join(loads) or "no load"


def is_laptop(results: Results) -> bool:
    return results.info.local or results.info.prompts == "tiny"


def statement(results: Results, load: str) -> str:
    """Steps, size, load, date, prices and their source: said with every table of a run."""
    info = results.info
    dates = sorted({record.sent_at[:10] for record in results.measured}) or [info.started[:10]]
    when = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    said = (
        f"{info.steps} steps, {info.size}, guidance {info.guidance_scale:g}, {load}; "
        f"measured {when} on {info.url}; {price_statement(results)}"
    )
    return f"{said}. {LAPTOP}" if is_laptop(results) else said


def price_statement(results: Results) -> str:
    variants = {record.model: record.variant for record in results.measured}.values()
    prices = dict.fromkeys(_price(variant) for variant in variants)
    return "prices: " + "; ".join(prices) if prices else "prices: none"


def _price(variant: ServedVariant) -> str:
    if variant.usd_per_hour is None:
        return f"{variant.instance_type} {NO_PRICE} ({variant.region})"
    return (
        f"{variant.instance_type} ${variant.usd_per_hour:g}/h "
        f"({variant.region}, {variant.price_date}, {variant.price_source})"
    )


def matrix_table(
    slug: str, title: str, values: Mapping[str, float], said: str, notes: Sequence[str] = ()
) -> Table:
    """Row a, column b: by how many per cent b is above (+) or below (−) a."""
    matrix = change_matrix(values)
    return Table(
        slug,
        title,
        [Column("from \\ to"), *(Column(name, "+.2f") for name in values)],
        [[a, *(matrix[a].get(b) for b in values)] for a in values],
        said,
        [
            "Row to column: by how many per cent the column's variant differs from the row's.",
            *notes,
        ],
    )


def failures_shown(failures: Mapping[str, int]) -> str:
    return ", ".join(f"{kind}: {count}" for kind, count in sorted(failures.items())) or "none"
