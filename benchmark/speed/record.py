"""What was measured, kept from run to run as JSON, and the page made of it."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from benchmark.errors import BenchmarkError
from benchmark.speed.rows import BY_NAME, ROWS, SECTIONS, TITLES, Measured, Row
from benchmark.table import Column, Table

NOT_MEASURED = "not measured here"
HEAD = (
    "# Speed\n\nBoth sides of each row were measured in one run on one machine, by "
    "`python -m benchmark speed`; `make speed` measures all that a machine can and writes this "
    "page and `speed.json` anew, `--only NAME,…` some rows. No figure is taken from elsewhere, "
    "and no test looks at a clock. A ratio is ours to theirs.\n"
)


def read_record(file: Path) -> dict[str, Measured]:
    """By the row's name; empty where there is no file. Raises BenchmarkError."""
    if not file.is_file():
        return {}
    try:
        document = json.loads(file.read_bytes())
        return {name: Measured(**entry) for name, entry in document.items() if name in BY_NAME}
    except (ValueError, TypeError, AttributeError) as error:
        raise BenchmarkError(f"{file} is no record of speeds: {error}") from error


def write_record(file: Path, record: Mapping[str, Measured]) -> None:
    document = {row.name: asdict(record[row.name]) for row in ROWS if row.name in record}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(document, indent=1) + "\n")


def page(record: Mapping[str, Measured]) -> str:
    return "\n".join([HEAD, *(_table(section, record).markdown() for section in SECTIONS)])


def _table(section: str, record: Mapping[str, Measured]) -> Table[Row]:
    def shown(row: Row, side: str) -> str:
        if (found := record.get(row.name)) is None:
            return NOT_MEASURED
        value = getattr(found, side)
        return f"{value:{',.0f' if value >= 1000 else '.3g'}} {row.unit}"

    def ratio(row: Row) -> float | None:
        found = record.get(row.name)
        return found.ratio if found else None

    def reached(row: Row) -> str:
        found = record.get(row.name)
        bar = f"{'≥' if row.at_least else '≤'} {row.reach:.2f}"
        return f"{bar}: {_yes(row.is_reached(found.ratio))}" if found else bar

    columns: list[Column[Row]] = [
        Column("row", "", lambda row: f"`{row.name}`"),
        Column("what", "", lambda row: row.what),
        Column("ours", "", lambda row: f"{row.ours}: {shown(row, 'ours')}"),
        Column("against", "", lambda row: f"{row.theirs}: {shown(row, 'theirs')}"),
        Column("ratio", ".2f", ratio),
        Column("reach", "", reached),
        Column("the picture", "", lambda row: _of(record, row, "difference")),
    ]
    rows = [row for row in ROWS if row.section == section]
    notes = [
        f"- `{row.name}`: {found.conditions}; {found.machine}, {found.date}; "
        f"`python -m benchmark speed --only {row.name}`"
        for row in rows
        if (found := record.get(row.name))
    ]
    return Table(
        f"speed-{section}",
        TITLES[section],
        columns,
        rows,
        "each row as said below" if notes else NOT_MEASURED,
        ["\n".join(notes)] if notes else [],
    )


def _yes(is_reached: bool) -> str:
    return "reached" if is_reached else "not reached"


def _of(record: Mapping[str, Measured], row: Row, name: str) -> str | None:
    found = record.get(row.name)
    return getattr(found, name) or None if found else None
