"""What a run's report holds, before any of it is written."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.errors import BenchmarkError
from benchmark.figures.limit import limit_tables
from benchmark.figures.study import read_study, study_tables
from benchmark.options import LimitOptions
from benchmark.prompts import SMALL_MODELS, Prompt, PromptSet
from benchmark.report.analysis import VariantFigures, analyse
from benchmark.report.charts import Chart, charts
from benchmark.report.quality import Scorer, drawn_right, score_pictures
from benchmark.report.statement import LAPTOP, is_laptop
from benchmark.report.tables import measured_limit_table, run_tables
from benchmark.run.records import RequestRecord, Results
from benchmark.table import Table


@dataclass(frozen=True)
class SheetRow:
    """What each variant drew for the same prompt and seed: files by variant."""

    prompt: Prompt
    pictures: dict[str, Path]


@dataclass(frozen=True)
class Report:
    models: Sequence[str]
    tables: Sequence[Table[Any]]
    charts: Sequence[Chart]
    sheet: Sequence[SheetRow]
    lead: str
    caveat: str
    title: str = "Stable Diffusion 2.1 base on SageMaker: three variants measured"

    @property
    def headline(self) -> Table[Any]:
        return self.tables[0]


def make_report(
    results: Results,
    prompt_set: PromptSet,
    pictures: Path,
    latency_bound_s: float,
    clip: Scorer | None = None,
) -> Report:
    scorer = drawn_right if results.info.prompts in SMALL_MODELS else clip
    scores = score_pictures(results.measured, prompt_set, pictures, scorer) if scorer else {}
    figures = analyse(results, latency_bound_s, scores)
    if not figures:
        raise BenchmarkError("the results hold no closed-loop phase to report on")
    caveat = LAPTOP if is_laptop(results) else ""
    models = [f.name for f in figures]
    return Report(
        models=models,
        tables=[*run_tables(results, figures, latency_bound_s), *_references(results, figures)],
        charts=charts(figures, caveat),
        sheet=sheet_rows(results.measured, prompt_set, pictures),
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


def _references(results: Results, figures: Sequence[VariantFigures]) -> list[Table[Any]]:
    """The physical limit of the real model and the study: what a run's figures stand beside.

    On a laptop they are about SD 2.1 base at its own settings, not about what ran.
    """
    info, measured = results.info, measured_limit_table(results, figures)
    asked = LimitOptions()
    if measured:
        asked = LimitOptions(info.width_height, info.steps, info.guidance_scale)
    return [
        *([measured] if measured else []),
        *limit_tables(asked),
        *study_tables(read_study()),
    ]


def sheet_rows(
    records: Sequence[RequestRecord], prompt_set: PromptSet, pictures: Path
) -> list[SheetRow]:
    """A row a prompt that has a picture, first repetition only."""
    rows: dict[int, SheetRow] = {}
    for record in records:
        path = pictures / record.picture if record.picture and record.repetition == 0 else None
        if path is not None and path.exists():
            prompt = prompt_set.prompts[record.prompt]
            rows.setdefault(record.prompt, SheetRow(prompt, {})).pictures[record.model] = path
    return [rows[index] for index in sorted(rows)]
