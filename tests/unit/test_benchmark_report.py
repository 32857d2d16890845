"""The report: every table says under what conditions, and the page needs no network."""

import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from benchmark.analysis import analyse
from benchmark.cli import main
from benchmark.client import _registered
from benchmark.errors import BenchmarkError
from benchmark.load import closed, open_
from benchmark.pricing import Prices
from benchmark.prompts import load_prompts
from benchmark.records import ResultsFile, read_results
from benchmark.report import END, START, Report, make_report, put_into, write_report
from benchmark.report_charts import charts
from benchmark.report_tables import LAPTOP, Column, Table
from model_assets.tiny.data import Picture, draw
from model_assets.tiny.picture_check import expected
from tests.benchmark_fakes import FakeApi, Status, registration, run_info, run_session

TINY = load_prompts("tiny")
WRONG = 3
"""So many of the hundred pictures show another shape than asked for."""


def drawn(prompt: str) -> bytes:
    import io

    from PIL import Image

    asked = expected(prompt)
    if prompt in [p.text for p in TINY.prompts[:WRONG]]:
        other = "circle" if asked.shape != "circle" else "cross"
        asked = Picture(other, asked.colour, asked.background)
    out = io.BytesIO()
    Image.fromarray(draw(asked, np.random.default_rng(1))).save(out, "PNG")
    return out.getvalue()


@pytest.fixture(scope="module")
def local_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hundred prompts to three variants on a laptop, and some load."""
    path = tmp_path_factory.mktemp("run") / "results.jsonl"
    api = FakeApi(seconds=0.5, draw=drawn, misbehave={TINY.prompts[50].text: Status(500)})
    api.variants[0]["instance_type"] = "ml.g5.xlarge"
    info = run_info(
        url="http://127.0.0.1:4566/_aws/execute-api/abc/v1",
        local=True,
        prompts="tiny",
        prompts_digest=TINY.digest,
        size="64x64",
        guidance_scale=4.0,
    )
    run_session(
        path,
        api,
        [closed(1), closed(3), open_(1.0), open_(8.0)],
        prompt_set=TINY,
        info=info,
        warm_up=1,
        load_requests=30,
    )
    return path


@pytest.fixture(scope="module")
def report(local_run: Path) -> Report:
    return make_report(read_results(local_run), TINY, local_run.parent / "pictures", 10.0)


@pytest.fixture(scope="module")
def written(local_run: Path, report: Report) -> Path:
    out = local_run.parent / "report"
    write_report(report, read_results(local_run), out)
    return out


def test_quality_stands_in_the_first_table(report: Report) -> None:
    names = [column.name for column in report.headline.columns]
    for row in report.headline.rows:
        cells = dict(zip(names, row, strict=True))
        assert cells["answered"] == "99/100"
        assert cells["right shape"] == pytest.approx(1 - WRONG / 99)
        assert cells["right colour"] == cells["right background"] == 1.0
        assert cells["all right"] == pytest.approx(1 - WRONG / 99)
        assert cells["mean s"] == pytest.approx(0.5, abs=1e-3)


def test_every_table_says_its_conditions(report: Report) -> None:
    for table in report.tables:
        for said in (r"steps", r"\d+x\d+", r"concurrency|load", r"dates?|20\d\d-", r"prices?"):
            assert re.search(said, table.statement), (table.slug, said)
    references = ("study", "limit", "flops", "least")
    for table in report.tables:
        if table.slug.startswith(references):
            continue
        for said in ("25 steps", "64x64", "measured 20", "a test", "2026-11-22", LAPTOP):
            assert said in table.statement, table.slug
    slugs = [table.slug for table in report.tables]
    for slug in ("headline", "cost", "latency-matrix", "cost-matrix", "load", "failures"):
        assert slug in slugs
    assert "concurrency 1" in report.headline.statement


def test_saturation_shows(report: Report) -> None:
    (load,) = [table for table in report.tables if table.slug == "load"]
    saturated = [row for row in load.rows if row[-1] == "yes"]
    assert {row[1] for row in saturated} == {"8/s arriving"}
    assert len(saturated) == 3


def test_best_throughput_is_bound_by_latency(local_run: Path) -> None:
    results = read_results(local_run)
    quick, slow = (analyse(results, bound, {})[0].best for bound in (0.6, 10.0))
    assert quick is not None
    assert quick.phase == "closed-1"
    assert slow is not None
    assert slow.throughput >= quick.throughput
    (none,) = {figures.best for figures in analyse(results, 0.1, {})}
    assert none is None


def test_no_share_of_an_accelerator_s_limit_is_claimed_for_a_laptop(report: Report) -> None:
    assert "limit-measured" not in [table.slug for table in report.tables]


def test_on_aws_the_share_of_the_limit_is_there_and_the_laptop_is_not(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    real = load_prompts("real")
    info = run_info(prompts_digest=real.digest)
    run_session(path, FakeApi(seconds=2.0), [closed(1)], prompt_set=real, info=info)
    report = make_report(read_results(path), real, tmp_path / "pictures", 10.0)
    (limit,) = [table for table in report.tables if table.slug == "limit-measured"]
    shares = {row[0]: row[-1] for row in limit.rows}
    assert shares == {
        "g5": pytest.approx(0.612 / 2, abs=1e-3),
        "djl": pytest.approx(0.612 / 2, abs=1e-3),
        "inf2": pytest.approx(0.226 / 2, abs=1e-3),
    }
    assert report.caveat == ""
    assert LAPTOP not in " ".join(table.statement for table in report.tables)
    costs = {row[0]: row[1] for t in report.tables if t.slug == "cost" for row in t.rows}
    assert costs["inf2"] == pytest.approx(2.0 * 0.99 / 3600 * 1e6, rel=1e-3)


class References(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.found += [value or "" for name, value in attrs if name in ("src", "href", "srcset")]


def test_the_page_loads_nothing(written: Path) -> None:
    text = (written / "report.html").read_text()
    parser = References()
    parser.feed(text)
    assert [ref for ref in parser.found if not ref.startswith(("data:", "#"))] == []
    assert not parser.tags & {"script", "link", "iframe"}
    assert not re.search(r"url\(|@import", text)
    anchors = {ref[1:] for ref in parser.found if ref.startswith("#")}
    assert all(f'id="{anchor}"' in text for anchor in anchors)
    assert LAPTOP in text


def test_the_sheet_has_every_picture(written: Path) -> None:
    text = (written / "report.html").read_text()
    assert text.count("data:image/webp") == 3 * 99
    assert text.count("data:image/svg+xml") == 3


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


def test_csv_of_requests(written: Path, local_run: Path) -> None:
    with (written / "tables" / "requests.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(read_results(local_run).measured)
    failed = [row for row in rows if row["phase"] == "closed-1" and row["outcome"] == "failed"]
    assert [row["failure"] for row in failed] == ["http_500"] * 3
    assert rows[0]["artifact_key"] == "key-of-g5"
    assert (rows[0]["model_latency_ms"], rows[0]["denoise_ms"]) == ("", "700.0")


def test_charts_are_the_same_for_the_same_figures(report: Report, local_run: Path) -> None:
    again = charts(analyse(read_results(local_run), 10.0, {}), report.caveat)
    assert [chart.svg for chart in again] == [chart.svg for chart in report.charts]


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


def test_command(local_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--results", str(local_run), "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "report.html").exists()
    assert "| g5 | diffusers |" in capsys.readouterr().out


def test_other_prompts_than_the_run_had_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with ResultsFile(tmp_path / "results.jsonl", run_info()):
        pass
    assert main(["report", "--results", str(tmp_path / "results.jsonl")]) == 1
    assert "made with other prompts" in capsys.readouterr().err


def test_cells() -> None:
    table = Table("t", "T", [Column("a|b"), Column("$", "$,.2f")], [["x|y", 1234.5], ["z", None]],
                  "said")  # fmt: skip
    assert table.markdown(heading="") == (
        "| a\\|b | $ |\n| --- | ---: |\n| x\\|y | $1,234.50 |\n| z | – |\n\n_said_\n"
    )
    assert "<td>$1,234.50</td>" in table.html()
    assert table.csv() == "a|b,$,conditions\nx|y,1234.5,said\nz,,said\n"


def test_a_run_without_prices_says_no_price_and_no_sum(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    api = FakeApi(seconds=0.5, variants=("g5", "inf2"))
    nothing = {"price_usd_per_hour": None, "price_date": "", "price_source": ""}
    api.variants = [{**entry, **nothing, "region": "eu-west-1"} for entry in api.variants]
    run_session(path, api, [closed(1), open_(1.0)], prompt_set=TINY, load_requests=5)
    results = read_results(path)
    report = make_report(results, TINY, tmp_path / "pictures", 10.0)
    said = {table.slug: table.markdown() for table in report.tables}
    assert said["headline"].count("no price | no price") == 2
    assert said["cost"].count("no price | no price") == 2
    assert "cost-matrix" not in said
    assert "prices: ml.g5.xlarge no price (eu-west-1)" in said["headline"]
    for slug in ("headline", "cost", "load", "served", "limit-measured"):
        assert "$" not in said[slug]
    (cost,) = [chart for chart in report.charts if chart.slug == "cost"]
    assert "no price" in cost.svg
    assert write_report(report, results, tmp_path / "report")


def test_a_registration_s_null_price_reads_as_no_price() -> None:
    entry = registration("g5", price_usd_per_hour=None, price_date=None, price_source=None)
    served = _registered(entry, Prices("2026-11-25", {})).served
    assert (served.usd_per_hour, served.price_date, served.price_source) == (None, "", "")
