"""The report: every table says under what conditions, and the page needs no network."""

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmark.cli import main
from benchmark.errors import BenchmarkError
from benchmark.prompts import Prompt, load_prompts
from benchmark.report.analysis import analyse
from benchmark.report.charts import COLOURS, charts
from benchmark.report.command import END, START, put_into, write_report
from benchmark.report.contents import Report, make_report
from benchmark.report.page import page
from benchmark.report.statement import LAPTOP
from benchmark.table import Cell, Column, Table
from model_assets.tiny.data import Picture, draw
from model_assets.tiny.picture_check import expected
from tests.fakes.benchmark import (
    NO_PRICE,
    THREE,
    FakeApi,
    Ran,
    prompts,
    refused,
    run_info,
    run_session,
    served,
)

TINY = load_prompts("tiny")
WRONG = 3
"""So many of the hundred pictures show another shape than asked for."""


def drawn(prompt: str) -> bytes:
    asked = expected(prompt)
    if prompt in [p.text for p in TINY.prompts[:WRONG]]:
        other = "circle" if asked.shape != "circle" else "cross"
        asked = Picture(other, asked.colour, asked.background)
    out = io.BytesIO()
    Image.fromarray(draw(asked, np.random.default_rng(1))).save(out, "PNG")
    return out.getvalue()


@pytest.fixture(scope="module")
def local_run(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """A hundred prompts to three variants on a laptop, and some load."""
    info = run_info(
        url="http://127.0.0.1:4566/_aws/execute-api/abc/v1",
        local=True,
        prompts="tiny",
        prompts_digest=TINY.digest,
        size="64x64",
        guidance_scale=4.0,
    )
    return run_session(
        tmp_path_factory.mktemp("run"),
        FakeApi(*THREE, seconds=0.5, draw=drawn, misbehave={TINY.prompts[50].text: 500}),
        TINY,
        info=info,
        warm_up=1,
        concurrency=(1, 3),
        rates=(1.0, 8.0),
        load_requests=30,
    )


@pytest.fixture(scope="module")
def report(local_run: Ran) -> Report:
    return make_report(local_run.results, TINY, local_run.path.parent / "pictures", 10.0)


@pytest.fixture(scope="module")
def written(local_run: Ran) -> Path:
    out = local_run.path.parent / "report"
    assert main(["report", "--results", str(local_run.path), "--out", str(out)]) == 0
    return out


def by_slug(report: Report) -> dict[str, list[dict[str, Cell]]]:
    """Each table's rows, their cells by header."""
    return {table.slug: table.documents() for table in report.tables}


def test_quality_stands_in_the_first_table(report: Report) -> None:
    for cells in report.headline.documents():
        assert cells["answered"] == "99/100"
        assert cells["right shape"] == pytest.approx(1 - WRONG / 99)
        assert cells["right colour"] == cells["right background"] == 1.0
        assert cells["all right"] == pytest.approx(1 - WRONG / 99)
        assert cells["mean s"] == pytest.approx(0.5, abs=1e-3)


def test_modes_stand_side_by_side(tmp_path: Path) -> None:
    """Seconds, dollars a million and the share of the limit that each mode's own steps have."""
    real = load_prompts("real")
    info = run_info(prompts_digest=real.digest, more_steps={"fast": 12})
    modes = ("standard", "fast")
    ran = run_session(tmp_path, FakeApi("g5", seconds=2.0), real, info=info, quality=modes)
    report = make_report(ran.results, real, tmp_path / "pictures", 10.0)
    standard, fast = report.headline.documents()
    assert (standard["variant"], fast["variant"]) == ("g5", "g5 fast")
    assert (standard["mean s"], fast["mean s"]) == pytest.approx((2.0, 1.0))
    assert standard["USD per million"] == pytest.approx(1.4084 * 2 / 3600 * 1e6)
    assert fast["USD per million"] == pytest.approx(1.4084 / 3600 * 1e6)
    assert "25 steps, fast 12, 512x512" in report.headline.statement
    assert "one after another" in " ".join(report.headline.notes)
    for chart in report.charts:
        assert sum(colour in chart.svg for colour in COLOURS) == 1, "a variant's modes share its"
    assert "stroke-dasharray" in report.charts[0].svg
    shares = [row["least s"] for row in by_slug(report)["limit-measured"]]
    assert shares == pytest.approx([0.612, 0.313], abs=2e-3)


def test_every_table_says_its_conditions(report: Report) -> None:
    for table in report.tables:
        for said in (r"steps", r"\d+x\d+", r"concurrency|load", r"dates?|20\d\d-", r"prices?"):
            assert re.search(said, table.statement), (table.slug, said)
        if table.slug.startswith(("study", "limit", "flops", "least")):
            continue
        for said in ("25 steps", "64x64", "measured 20", "a price list", "2026-11-22", LAPTOP):
            assert said in table.statement, table.slug
    wanted = {"headline", "cost", "latency-matrix", "cost-matrix", "load", "failures"}
    assert wanted <= by_slug(report).keys()
    # No share of an accelerator's limit is claimed for a laptop.
    assert "limit-measured" not in by_slug(report)
    assert "concurrency 1" in report.headline.statement


def test_saturation_shows(report: Report) -> None:
    saturated = [row for row in by_slug(report)["load"] if row["saturated"] == "yes"]
    assert {row["load"] for row in saturated} == {"8/s arriving"}
    assert len(saturated) == 3


def test_best_throughput_is_bound_by_latency(local_run: Ran) -> None:
    quick, slow = (analyse(local_run.results, bound)[0].best for bound in (0.6, 10.0))
    assert quick is not None
    assert quick.phase == "closed-1"
    assert slow is not None
    assert slow.throughput >= quick.throughput
    (none,) = {figures.best for figures in analyse(local_run.results, 0.1)}
    assert none is None


def test_on_aws_the_share_of_the_limit_is_there_and_the_laptop_is_not(tmp_path: Path) -> None:
    real = load_prompts("real")
    info = run_info(prompts_digest=real.digest)
    ran = run_session(tmp_path, FakeApi(*THREE, seconds=2.0), real, info=info)
    report = make_report(ran.results, real, tmp_path / "pictures", 10.0)
    rows = by_slug(report)
    shares = {row["variant"]: row["share of the limit"] for row in rows["limit-measured"]}
    limits = {"g5": 0.612, "djl": 0.612, "inf2": 0.226}
    assert shares == {name: pytest.approx(s / 2, abs=1e-3) for name, s in limits.items()}
    assert report.caveat == ""
    assert LAPTOP not in " ".join(table.statement for table in report.tables)
    costs = {row["variant"]: row["mean latency × price"] for row in rows["cost"]}
    assert costs["inf2"] == pytest.approx(2.0 * 0.99 / 3600 * 1e6, rel=1e-3)


def test_the_page_has_every_picture_and_loads_nothing(written: Path) -> None:
    text = (written / "report.html").read_text()
    assert text.count("data:image/webp") == 3 * 99
    assert text.count("data:image/svg+xml") == 3
    references = re.findall(r"""\b(?:src|href|srcset)\s*=\s*["']?([^"'\s>]*)""", text)
    assert [ref for ref in references if not ref.startswith(("data:", "#"))] == []
    assert not re.search(r"<(script|link|iframe)\b|url\(|@import", text)
    anchors = [ref[1:] for ref in references if ref.startswith("#")]
    assert sorted(anchors) == sorted(re.findall(r'\sid="([^"]*)"', text))
    assert len(set(anchors)) == len(anchors)
    assert LAPTOP in text


def test_the_page_shows_text_as_text(report: Report) -> None:
    hostile = '<script>alert("x")</script>'
    table = replace(report.headline, title=hostile, statement=hostile, notes=[hostile])
    sheet = [replace(report.sheet[0], prompt=Prompt(0, hostile, 1))]
    text = page(replace(report, lead=hostile, tables=[table], sheet=sheet))
    assert "<script" not in text
    assert text.count("&lt;script&gt;") == 6


def test_markdown_and_its_charts(written: Path) -> None:
    text = (written / "report.md").read_text()
    assert f"> {LAPTOP}" in text
    for chart in re.findall(r"\]\(([^)]+\.svg)\)", text):
        assert (written / chart).read_text().startswith("<svg")
    assert "$1,529.68" in text


def test_json_has_numbers(written: Path) -> None:
    document = json.loads((written / "report.json").read_text())
    rows = document["tables"]["headline"]["rows"]
    assert [row["variant"] for row in rows] == ["g5", "djl", "inf2"]
    assert rows[0]["p90 s"] == pytest.approx(0.5, abs=1e-3)
    assert document["caveat"] == LAPTOP


def test_csv_of_requests(written: Path, local_run: Ran) -> None:
    with (written / "tables" / "requests.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(local_run.results.measured)
    failed = [row for row in rows if row["phase"] == "closed-1" and row["outcome"] == "failed"]
    assert [row["failure"] for row in failed] == ["http_500"] * 3
    assert rows[0]["artifact_key"] == "9f2c"
    assert (rows[0]["model_latency_ms"], rows[0]["denoise_ms"]) == ("", "700.0")


def test_charts_are_the_same_for_the_same_figures(report: Report, local_run: Ran) -> None:
    assert charts(analyse(local_run.results, 10.0), report.caveat) == report.charts


def test_the_first_table_goes_into_the_readme(report: Report, tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{START}\nold\n{END}\nafter\n")
    put_into(readme, report)
    put_into(readme, report)
    text = readme.read_text()
    assert text.startswith(f"before\n{START}\n| variant |")
    assert text.endswith(f"{END}\nafter\n")
    assert "old" not in text
    assert text.count(LAPTOP) == 1
    readme.write_text("no markers")
    with pytest.raises(BenchmarkError, match="has no"):
        put_into(readme, report)


def test_other_prompts_than_the_run_had_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = run_session(tmp_path, FakeApi(), prompts(1)).path
    assert "made with other prompts" in refused(capsys, "report", "--results", str(path))


def test_cells(report: Report) -> None:
    columns: list[Column[tuple[str, float | None]]] = [
        Column("a|b", "", lambda row: row[0]),
        Column("$", "$,.2f", lambda row: row[1]),
    ]
    table = Table("t", "T", columns, [("x|y", 1234.5), ("z", None)], "said")
    assert table.markdown(heading="") == (
        "| a\\|b | $ |\n| --- | ---: |\n| x\\|y | $1,234.50 |\n| z | – |\n\n_said_\n"
    )
    assert '<td class="text">x|y</td><td>$1,234.50</td>' in page(replace(report, tables=[table]))
    assert table.csv() == "a|b,$,conditions\nx|y,1234.5,said\nz,,said\n"


def test_a_run_without_prices_says_no_price_and_no_sum(tmp_path: Path) -> None:
    api = FakeApi("g5", "inf2", seconds=0.5)
    api.variants = [served(name, region="eu-west-1", **NO_PRICE) for name in ("g5", "inf2")]
    ran = run_session(tmp_path, api, TINY, rates=(1.0,), load_requests=5)
    report = make_report(ran.results, TINY, tmp_path / "pictures", 10.0)
    said = {table.slug: table.markdown() for table in report.tables}
    assert said["headline"].count("no price | no price") == 2
    assert said["cost"].count("no price | no price") == 2
    assert "cost-matrix" not in said
    assert "prices: ml.g5.xlarge no price (eu-west-1)" in said["headline"]
    for slug in ("headline", "cost", "load", "served", "limit-measured"):
        assert "$" not in said[slug]
    assert "no price" in report.charts[-1].svg
    assert write_report(report, ran.results, tmp_path / "report")
