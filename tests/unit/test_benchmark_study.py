"""The published study to the cent, and its percentages called what they are."""

import pytest

from benchmark.cli import main
from benchmark.figures.study import percentages_table, read_study, study_tables


def test_costs_to_the_cent() -> None:
    study = read_study()
    ours = {name: round(cost, 2) for name, cost in study.costs().items()}
    assert ours == {"g5": 1529.68, "djl": 997.62, "inf2": 649.00}
    assert ours == {variant.name: variant.cost_per_million for variant in study.variants}


def test_latency_matrix() -> None:
    _, table, _ = study_tables(read_study())
    shown = {row[0]: row[1:] for row in table.shown}
    assert shown["g5"] == ["–", "-34.78", "-39.64"]
    assert shown["djl"] == ["+53.33", "–", "-7.45"]
    assert shown["inf2"] == ["+65.68", "+8.05", "–"]


def test_published_cost_percentages_stand_beside_ours() -> None:
    rows = {row.pair: row for row in percentages_table(read_study(), "said").rows}
    assert {pair: (row.published, round(row.ours, 2)) for pair, row in rows.items()} == {
        "g5 → djl": (-34.79, -34.78),
        "g5 → inf2": (-57.54, -57.57),
        "djl → g5": (53.27, 53.33),
        "djl → inf2": (-34.91, -34.94),
        "inf2 → g5": (135.54, 135.70),
        "inf2 → djl": (53.71, 53.72),
    }
    assert {row.verdict for row in rows.values()} == {"differs"}
    # −57.54 % one way is +135.52 % back, not the published 135.54.
    assert rows["inf2 → g5"].implied == pytest.approx(135.52, abs=0.005)


def test_command_prints_the_figures(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study"]) == 0
    out = capsys.readouterr().out
    for figure in ("$1,529.68", "$997.62", "$649.00", "-34.78", "6 of 6 differ"):
        assert figure in out
