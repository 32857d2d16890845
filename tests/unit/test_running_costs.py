"""docs/operations.md's table of what each mode costs, calculated anew."""

import pytest

from stacks.catalogue.prices import HOURS_PER_MONTH, price_of
from stacks.settings import ROOT

# Five days of ten hours of a week.
OFFICE_HOURS = HOURS_PER_MONTH * 50 / 168
# Two hours, the time between two checks, and CloudWatch's whole hour.
UNUSED_START_H = 2 + 0.25 + 1
TRAINIUM_USD_PER_HOUR = 1.88
HOURS: dict[str, tuple[float, float]] = {
    "real-time, always on (default)": (HOURS_PER_MONTH, HOURS_PER_MONTH),
    "real-time, Monday to Friday 8 to 18": (OFFICE_HOURS, OFFICE_HOURS),
    "real-time, `idle_stop_h=2`": (UNUSED_START_H, HOURS_PER_MONTH),
    "`serve: async`": (0, HOURS_PER_MONTH),
    "bulk, on demand": (0, HOURS_PER_MONTH),
}
TEXT = (ROOT / "docs" / "operations.md").read_text()


def documented() -> dict[str, list[float]]:
    table = TEXT.split("| mode | `g5`, `djl` idle |")[1].split("\n\n")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    return {mode: [float(cell.split()[0].strip("$").replace(",", "")) for cell in cells]
            for mode, *cells in rows}  # fmt: skip


def usd(instance_type: str) -> float:
    price = price_of(instance_type, "us-east-1", None)
    assert price
    return price.usd_per_hour


def test_each_mode_has_its_line() -> None:
    assert list(documented()) == list(HOURS)


@pytest.mark.parametrize("mode", HOURS)
def test_a_month_costs_what_the_table_says(mode: str) -> None:
    gpu, neuron = usd("ml.g5.xlarge"), usd("ml.inf2.xlarge")
    if mode.startswith("bulk"):
        neuron = TRAINIUM_USD_PER_HOUR
    expected = [hours * price for price in (gpu, neuron) for hours in HOURS[mode]]
    assert documented()[mode] == pytest.approx(expected, abs=0.005)


@pytest.mark.parametrize(("seconds", "pictures"), [(3.91, 672), (2.55, 1031), (2.36, 1114)])
def test_a_busy_month_draws_as_many_pictures(seconds: float, pictures: int) -> None:
    assert round(HOURS_PER_MONTH * 3600 / seconds / 1000) == pictures
    assert f"{pictures:,},000" in TEXT
