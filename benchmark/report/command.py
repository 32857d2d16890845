"""`benchmark report`: report.md, report.html, report.json, and a CSV for each table."""

import json
import re
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from benchmark.errors import BenchmarkError
from benchmark.options import ReportOptions
from benchmark.prompts import load_prompts
from benchmark.report.contents import Report, make_report
from benchmark.report.page import page
from benchmark.report.quality import clip_scorer
from benchmark.run.records import RequestRecord, Results, read_results
from benchmark.table import Cell, Column, Table, columns


def report(options: ReportOptions) -> str:
    results = read_results(options.results)
    prompt_set = load_prompts(options.prompts or results.info.prompts)
    if prompt_set.digest != results.info.prompts_digest:
        raise BenchmarkError(
            f"the results were made with other prompts than {prompt_set.name} holds now; "
            "give the file of that time with --prompts"
        )
    made = make_report(
        results,
        prompt_set,
        options.results.parent / "pictures",
        options.latency_bound,
        clip_scorer(options.clip_weights) if options.clip_weights else None,
    )
    written = write_report(made, results, options.out)
    if options.readme:
        put_into(options.readme, made)
    more = f"{written[1]} and {len(written) - 1} more files in {options.out}"
    return f"{made.headline.markdown()}\n{more}"


def write_report(report: Report, results: Results, out: Path) -> list[Path]:
    """Returns what was written; `report.md` and `report.html` first."""
    (out / "tables").mkdir(parents=True, exist_ok=True)
    files = {
        out / "report.md": _markdown(report),
        out / "report.html": page(report),
        out / "report.json": _json(report, results),
        **{out / f"{chart.slug}.svg": chart.svg for chart in report.charts},
        **{
            out / "tables" / f"{table.slug}.csv": table.csv()
            for table in (*report.tables, requests_table(results))
        },
    }
    for path, text in files.items():
        path.write_text(text)
    return list(files)


def _markdown(report: Report) -> str:
    figures = "\n".join(
        f"![{chart.title}]({chart.slug}.svg)\n\n_{chart.caption}_\n" for chart in report.charts
    )
    caveat = f"> {report.caveat}\n\n" if report.caveat else ""
    headline, *rest = (table.markdown() for table in report.tables)
    lead = f"# {report.title}\n\n{report.lead}\n\n{caveat}"
    return f"{lead}{headline}\n{figures}\n" + "\n".join(rest)


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


def requests_table(results: Results) -> Table[RequestRecord]:
    """Every measured request, with the SageMaker latencies of its minute where there are any."""

    def field(name: str, record: RequestRecord) -> Cell:
        if name == "steps":
            return results.info.steps_of(record.quality)
        value: Cell = getattr(results.info if name == "size" else record, name)
        return value

    def sagemaker(metric: str, record: RequestRecord) -> float | None:
        seen = results.cloudwatch.get((record.model, record.phase))
        sent = datetime.fromisoformat(record.sent_at).astimezone(UTC)
        minutes = (seen.minutes if seen else None) or {}
        return minutes.get(sent.isoformat(timespec="minutes"), {}).get(metric)

    stages = dict.fromkeys(f"{name}_ms" for r in results.measured for name in r.stages_ms)
    return Table(
        "requests",
        "Every request",
        [
            *columns(REQUEST_FIELDS, "", field),
            *columns(stages, "", lambda stage, r: r.stages_ms.get(stage.removesuffix("_ms"))),
            Column("model_latency_ms", "", partial(sagemaker, "ModelLatency")),
            Column("overhead_latency_ms", "", partial(sagemaker, "OverheadLatency")),
            Column("model_id", "", lambda r: r.variant.model_id),
            Column("artifact_key", "", lambda r: r.variant.artifact_key),
            Column("usd_per_hour", "", lambda r: r.variant.price_usd_per_hour),
            Column("price_date", "", lambda r: r.variant.price_date),
        ],
        results.measured,
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
