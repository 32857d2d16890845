"""The charts, as SVG text. matplotlib, drawn without a display."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

from benchmark.figures.stats import cost_per_million_at
from benchmark.report.analysis import VariantFigures
from benchmark.run.phase_summary import PhaseSummary
from benchmark.table import NO_PRICE
from sd_contract.sampling import STANDARD

COLOURS = ("#0b6e99", "#d9730d", "#2f7d4f", "#8a4fbe", "#b3261e")
STYLE = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "axes.edgecolor": "#9a9a9a",
    "axes.axisbelow": True,
    **dict.fromkeys(("axes.labelcolor", "text.color", "xtick.color", "ytick.color"), "#2b2b2b"),
}

Coloured = Sequence[tuple[VariantFigures, str]]
"""With the variant's colour, which its modes share."""


@dataclass(frozen=True)
class Chart:
    slug: str
    title: str
    caption: str
    svg: str


def charts(figures: Sequence[VariantFigures], caveat: str) -> list[Chart]:
    colours = dict(zip(dict.fromkeys(f.served.name for f in figures), cycle(COLOURS)))
    coloured = [(f, colours[f.served.name]) for f in figures]

    def chart(
        slug: str, title: str, caption: str, draw: Callable[..., None], panels: int = 1
    ) -> Chart:
        svg = as_svg(slug, panels, lambda axes: draw(coloured, *axes))
        return Chart(slug, title, f"{caption} {caveat}".strip(), svg)

    return [
        chart(
            "distribution",
            "Latency distributions",
            "Share of requests answered within a time, one caller at a time.",
            _distributions,
        ),
        chart(
            "concurrency",
            "Latency against load",
            "Line: p50, shade up to p90; a cross marks a saturated arrival rate.",
            _loads,
            panels=2,
        ),
        chart(
            "cost-latency",
            "Cost per million against latency",
            "One point a load (circles: so many callers at a time, squares: arrivals): its p90, "
            "and what its throughput costs.",
            _costs,
        ),
    ]


def as_svg(slug: str, panels: int, draw: Callable[[Sequence[Any]], None]) -> str:
    import matplotlib
    from matplotlib.figure import Figure

    # With a salt of its own, equal figures give equal files.
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": slug}):
        figure = Figure(figsize=(8.4, 3.6), layout="constrained")
        draw(figure.subplots(1, panels, squeeze=False)[0])
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
    text = out.getvalue()
    return text[text.index("<svg") :]


def _line(f: VariantFigures) -> str:
    return "-" if f.quality == STANDARD else "--"


def _distributions(coloured: Coloured, axis: Any) -> None:
    for f, colour in coloured:
        if f.latencies:
            line = {"linestyle": _line(f), "linewidth": 1.8}
            axis.ecdf(sorted(f.latencies), color=colour, label=f.name, **line)
    axis.set(xlabel="latency, s", ylabel="share answered", ylim=(0, 1.02))
    axis.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    _legend(axis, or_else="nothing answered")


def _loads(coloured: Coloured, closed: Any, arriving: Any) -> None:
    for f, colour in coloured:
        _curve(closed, f, colour, lambda p: p.concurrency)
        _curve(arriving, f, colour, lambda p: p.rate)
    closed.xaxis.get_major_locator().set_params(integer=True)
    closed.set(xlabel="requests at a time", ylabel="latency, s", ylim=(0, None))
    arriving.set(xlabel="arrivals a second", ylim=(0, None))
    for axis in (closed, arriving):
        _legend(axis, or_else="not measured")


def _curve(
    axis: Any, f: VariantFigures, colour: str, load_of: Callable[[PhaseSummary], float | None]
) -> None:
    points = sorted(
        (load, p.latency.p50, p.latency.p90, p.saturated)
        for p in f.phases
        if p.latency is not None and (load := load_of(p)) is not None
    )
    if not points:
        return
    loads, p50, p90, _ = zip(*points, strict=True)
    axis.plot(loads, p50, _line(f), color=colour, marker="o", markersize=4, label=f.name)
    axis.fill_between(loads, p50, p90, color=colour, alpha=0.15, linewidth=0)
    for load, median, _, saturated in points:
        if saturated:
            axis.plot([load], [median], color=colour, marker="x", markersize=9, linestyle="")


def _costs(coloured: Coloured, axis: Any) -> None:
    for f, colour in coloured:
        price = f.usd_per_hour
        fill = "full" if f.quality == STANDARD else "none"
        for p in f.phases:
            if price is None or p.latency is None or not p.throughput:
                continue
            at = (p.latency.p90, cost_per_million_at(p.throughput, price))
            marker, told = ("o", p.concurrency) if p.rate is None else ("s", f"{p.rate:g}/s")
            label = f.name if p is f.base else None
            dot = {"marker": marker, "fillstyle": fill, "linestyle": ""}
            axis.plot(*at, color=colour, label=label, **dot)
            axis.annotate(told, at, xytext=(5, 4), textcoords="offset points", fontsize=8)
    axis.set(xscale="log", xlabel="p90 latency, s", ylabel="USD per million", ylim=(0, None))
    axis.xaxis.set_major_formatter(lambda seconds, _: f"{seconds:g}")
    axis.xaxis.set_minor_formatter(
        lambda seconds, _: f"{seconds:g}" if f"{seconds:.0e}"[0] in "25" else ""
    )
    axis.margins(x=0.08, y=0.12)
    _legend(axis, or_else=NO_PRICE)


def _legend(axis: Any, or_else: str) -> None:
    if axis.lines:
        axis.legend(frameon=False)
    else:
        axis.text(0.5, 0.5, or_else, ha="center", transform=axis.transAxes)
