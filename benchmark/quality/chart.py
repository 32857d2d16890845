"""Work against quality, with the Pareto front."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from benchmark.quality.front import Advice, front
from benchmark.quality.measure import Measured, score_of
from benchmark.quality.settings import name_of
from benchmark.quality.tables import SCORES
from benchmark.report.charts import COLOURS, as_svg
from sd_contract.sampling import AYS, KARRAS, LINSPACE


def quality_chart(measured: Sequence[Measured], advice: Advice) -> str:
    """SVG: the median of dB (a thin line goes down to the 5th percentile), and the score."""
    scores = [name for name in SCORES if name in measured[0].scores]

    def draw(axes: Sequence[Any]) -> None:
        nearness, *others = axes
        _points(nearness, measured, lambda one: one.db_median)
        for one, colour in zip(measured, _colours(measured), strict=True):
            nearness.vlines(one.share, one.db_p5, one.db_median, color=colour, linewidth=0.6)
        line = front(measured)
        nearness.plot(
            [one.share for one in line],
            [one.db_median for one in line],
            color="#2b2b2b",
            linewidth=1,
            zorder=1,
            label="Pareto front",
        )
        nearness.set_ylabel("PSNR to 100 steps, dB")
        for axis, name in zip(others, scores, strict=True):
            _points(axis, measured, partial(score_of, name))
            header, spec = SCORES[name]
            axis.set_ylabel(header)
            axis.yaxis.set_major_formatter(lambda value, _, spec=spec: format(value, spec))
        for mode, one in advice.by_mode().items():
            nearness.annotate(
                f"{mode}: {name_of(one.sampling)}",
                (one.share, one.db_median),
                xytext=(-6, 4),
                textcoords="offset points",
                ha="right",
                fontsize=8,
            )
        for axis in axes:
            axis.set(xlabel="UNet FLOPs, share of the study's", xlim=(0, None))
        nearness.legend(frameon=False, fontsize=8, loc="lower right")

    return as_svg("quality", 1 + len(scores), draw)


KINDS = {LINSPACE: "linspace", KARRAS: "Karras", AYS: "AYS"}
EARLY, CACHED = "guidance ends early", "DeepCache"


def _kind(one: Measured) -> str:
    if one.sampling.deep_cache > 1:
        return CACHED
    if one.sampling.guidance_until < 1:
        return EARLY
    return KINDS[one.sampling.sigmas]


def _colours(measured: Sequence[Measured]) -> list[str]:
    kinds = dict(zip([*KINDS.values(), CACHED, EARLY], COLOURS, strict=True))
    return [kinds[_kind(one)] for one in measured]


def _points(axis: Any, measured: Sequence[Measured], quality: Callable[[Measured], float]) -> None:
    told: set[str] = set()
    for one, colour in zip(measured, _colours(measured), strict=True):
        kind = _kind(one)
        label = None if kind in told else kind
        told.add(kind)
        at = one.share, quality(one)
        axis.plot(*at, marker="o", markersize=5, linestyle="", color=colour, label=label)
