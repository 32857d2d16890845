"""`benchmark quality`: quality.md, quality.json and quality.svg."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmark.options import QualityOptions
from benchmark.quality.chart import quality_chart
from benchmark.quality.drawn import Drawn
from benchmark.quality.front import FAST_SHARE, Advice, advise
from benchmark.quality.measure import Measured, Subject, measure
from benchmark.quality.settings import BASELINE, SETTINGS, name_of, named
from benchmark.quality.subjects import statement, subject_of
from benchmark.quality.tables import quality_table
from benchmark.quality.work import full_size, full_size_picture
from benchmark.table import Table
from sd_contract.sampling import FAST

DOCS = Path("docs/speed")
OUT = Path("out/quality")
"""Of the user's own weights, whose figures are theirs."""


def quality(
    options: QualityOptions, make_subject: Callable[[QualityOptions], Subject] = subject_of
) -> str:
    """Raises BenchmarkError."""
    given = map(named, options.settings) if options.settings else SETTINGS
    settings = tuple(dict.fromkeys((BASELINE, *given)))
    subject = make_subject(options)
    out = options.out or (OUT if options.model else DOCS)
    out.mkdir(parents=True, exist_ok=True)
    model = str(options.model) if options.model else "small model, held-out prompts"
    conditions = statement(subject, model)
    drawn = Drawn(
        options.drawn,
        [conditions, subject.batch, [(case.text, case.seed) for case in subject.cases]],
        subject.folder,
    )
    said, measured = "", list[Measured]()
    with tqdm(total=(len(settings) + 1) * len(subject.cases), desc="pictures") as bar:
        for one in measure(subject, settings, bar.update, drawn):
            measured.append(one)
            # After each: a sweep of real weights takes hours, and may be stopped.
            said = _write(measured, conditions, out)
    return f"{said}\nin {out}"


def _write(measured: Sequence[Measured], conditions: str, out: Path) -> str:
    advice = advise(measured)
    table = quality_table(measured, advice, conditions)
    said = f"{table.markdown()}\n{_advised(advice)}\n"
    files = {
        "quality.md": f"# Quality against work\n\n`python -m benchmark quality`\n\n{said}\n"
        "![work against quality](quality.svg)\n\n"
        "_Left: the median; a thin line goes down to the 5th percentile._\n",
        "quality.json": _json(measured, advice, table),
        "quality.svg": quality_chart(measured, advice),
    }
    for name, text in files.items():
        (out / name).write_text(text)
    return said


def _advised(advice: Advice) -> str:
    """What to set, and what it rests on."""
    modes = {name: one.sampling.document() for name, one in advice.by_mode().items()}
    lines = [
        "By these figures, `modes` of the variants' settings (cdk.json):",
        "",
        f"    {json.dumps(modes)}",
        "",
        f"`standard`: the least work no worse than {name_of(BASELINE)} in scores, median and 5th "
        f"percentile. `fast`: at most {FAST_SHARE:.2f} of the study's, scores no worse than "
        "standard's but for a hundredth, and of these the highest median.",
    ]
    if advice.fast is None:
        lines.append(f"No setting that was measured will do for `{FAST}`.")
    return "\n".join(lines)


def _json(measured: Sequence[Measured], advice: Advice, table: Table[Measured]) -> str:
    def row(one: Measured) -> dict[str, Any]:
        return {
            "setting": name_of(one.sampling),
            "sampling": one.sampling.document(),
            "rows": asdict(one.rows),
            "share": one.share,
            "share_sd21_base": full_size().share(one.rows),
            "flops_sd21_base": full_size_picture(one.rows),
            "scores": one.scores,
            "db_median": round(one.db_median, 2),
            "db_p5": round(one.db_p5, 2),
            **({"lpips": list(one.distance)} if one.distance else {}),
        }

    document = {
        "conditions": table.statement,
        "advised": {name: name_of(one.sampling) for name, one in advice.by_mode().items()},
        "rows": [row(one) for one in measured],
    }
    return json.dumps(document, indent=2) + "\n"
