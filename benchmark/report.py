"""Writes a run's report: report.md, report.html, report.json, a CSV for each table."""

import csv
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmark.analysis import VariantFigures, analyse
from benchmark.detail_tables import measured_limit_table
from benchmark.errors import BenchmarkError
from benchmark.flops import count_work
from benchmark.limit import read_accelerators
from benchmark.limit_tables import limit_tables
from benchmark.prompts import PromptSet
from benchmark.quality import Scorer, drawn_right, score_pictures
from benchmark.records import Results
from benchmark.report_charts import Chart, charts
from benchmark.report_html import page
from benchmark.report_sheet import sheet_html, sheet_rows
from benchmark.report_tables import LAPTOP, Table, is_laptop
from benchmark.run_tables import run_tables
from benchmark.study import read_study, study_tables

REAL_SIZE, REAL_STEPS, REAL_GUIDANCE = (512, 512), 25, 7.5
TITLE = "Stable Diffusion 2.1 base on SageMaker: three variants measured"


@dataclass(frozen=True)
class Report:
    figures: list[VariantFigures]
    tables: list[Table]
    charts: list[Chart]
    sheet: str
    lead: str
    caveat: str

    @property
    def headline(self) -> Table:
        return self.tables[0]


def make_report(
    results: Results,
    prompt_set: PromptSet,
    pictures: Path,
    latency_bound_s: float,
    clip: Scorer | None = None,
) -> Report:
    scorer = drawn_right if results.info.prompts == "tiny" else clip
    scores = (
        score_pictures(results.measured, prompt_set, pictures, scorer) if scorer is not None else {}
    )
    figures = analyse(results, latency_bound_s, scores)
    if not figures:
        raise BenchmarkError("the results hold no closed-loop phase to report on")
    caveat = LAPTOP if is_laptop(results) else ""
    models = [f.served.name for f in figures]
    return Report(
        figures=figures,
        tables=[*run_tables(results, figures, latency_bound_s), *_references(results, figures)],
        charts=charts(figures, caveat),
        sheet=sheet_html(sheet_rows(results.measured, prompt_set, pictures), models),
        lead=_lead(results, models),
        caveat=caveat,
    )


def _lead(results: Results, models: Sequence[str]) -> str:
    sent = results.measured
    answered = sum(record.outcome == "ok" for record in sent)
    return (
        f"{', '.join(models)}: {answered:,} of {len(sent):,} requests answered, "
        f"{results.info.prompts} prompts, started {results.info.started[:16].replace('T', ' ')}."
    )


def _references(results: Results, figures: Sequence[VariantFigures]) -> list[Table]:
    """The physical limit of the real model and the study: what a run's figures stand beside.

    On a laptop they are about SD 2.1 base at its own settings, not about what ran.
    """
    study, accelerators = read_study(), read_accelerators()
    if is_laptop(results):
        (width, height), steps, guidance = REAL_SIZE, REAL_STEPS, REAL_GUIDANCE
    else:
        width, height = (int(side) for side in results.info.size.split("x"))
        steps, guidance = results.info.steps, results.info.guidance_scale
    work = count_work(width, height)
    measured = measured_limit_table(results, figures, work, accelerators)
    return [
        *([measured] if measured else []),
        *limit_tables(work, f"{width}x{height}", steps, guidance, accelerators, study.published),
        *study_tables(study),
    ]


def write_report(report: Report, results: Results, out: Path) -> list[Path]:
    """Returns what was written; `report.md` and `report.html` first."""
    (out / "tables").mkdir(parents=True, exist_ok=True)
    files = {
        out / "report.md": _markdown(report),
        out / "report.html": page(
            TITLE, report.lead, report.caveat, report.tables, report.charts, report.sheet
        ),
        out / "report.json": _json(report, results),
        **{out / f"{chart.slug}.svg": chart.svg for chart in report.charts},
        **{out / "tables" / f"{table.slug}.csv": table.csv() for table in report.tables},
    }
    for path, text in files.items():
        path.write_text(text)
    requests = out / "tables" / "requests.csv"
    _write_requests(requests, results)
    return [*files, requests]


def _markdown(report: Report) -> str:
    figures = "\n".join(
        f"![{chart.title}]({chart.slug}.svg)\n\n_{chart.caption}_\n" for chart in report.charts
    )
    caveat = f"> {report.caveat}\n\n" if report.caveat else ""
    rest = "\n".join(table.markdown() for table in report.tables[1:])
    return f"# {TITLE}\n\n{report.lead}\n\n{caveat}{report.headline.markdown()}\n{figures}\n{rest}"


def _json(report: Report, results: Results) -> str:
    document = {
        "run": vars(results.info),
        "caveat": report.caveat or None,
        "tables": {table.slug: table.document() for table in report.tables},
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


REQUEST_FIELDS = (
    *("model", "phase", "prompt", "repetition", "seed", "sent_at", "due_s", "latency_s"),
    *("outcome", "failure", "http_status", "steps", "size", "concurrency", "rate"),
    *("request_id", "picture"),
)


def _write_requests(path: Path, results: Results) -> None:
    """Every measured request, with the SageMaker latencies of its minute where there are any."""
    stages = list(dict.fromkeys(name for r in results.measured for name in r.stages_ms))
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        header = [*REQUEST_FIELDS, *(f"{stage}_ms" for stage in stages)]
        writer.writerow(
            [*header, "model_latency_ms", "overhead_latency_ms", "model_id", "artifact_key",
             "usd_per_hour", "price_date"]
        )  # fmt: skip
        for record in results.measured:
            seen = results.cloudwatch.get((record.model, record.phase))
            minutes = (seen.minutes if seen else None) or {}
            sent = datetime.fromisoformat(record.sent_at).astimezone(UTC)
            minute = minutes.get(sent.isoformat(timespec="minutes"), {})
            served = record.variant
            writer.writerow(
                [getattr(record, name) for name in REQUEST_FIELDS]
                + [record.stages_ms.get(stage) for stage in stages]
                + [minute.get("ModelLatency"), minute.get("OverheadLatency")]
                + [served.model_id, served.artifact_key, served.usd_per_hour, served.price_date]
            )


START, END = "<!-- benchmark:start -->", "<!-- benchmark:end -->"


def put_into(readme: Path, report: Report) -> None:
    """Replaces what stands between the two markers by the headline table.

    Raises BenchmarkError if the markers aren't there.
    """
    text = readme.read_text()
    pattern = re.compile(f"{re.escape(START)}.*?{re.escape(END)}", re.DOTALL)
    if not pattern.search(text):
        raise BenchmarkError(f"{readme} has no {START} … {END}")
    block = f"{START}\n{report.headline.markdown(heading='')}{END}"
    readme.write_text(pattern.sub(lambda _: block, text))
