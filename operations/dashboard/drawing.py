"""A dashboard's widgets as a picture, as CloudWatch's console lays them out."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from operations.dashboard.figures import Figures, Line, Points, lines

INK, FAINT = "#2b2b2b", "#e6e6e6"
# Inches: a grid's column and row, the picture's title, and what is around a widget's graph.
COLUMN, ROW, TITLE = 0.62, 0.42, 0.4
BESIDE, RIGHT, ABOVE, BELOW = 0.6, 0.25, 0.35, 0.55


def draw(
    body: Mapping[str, Any], figures: Figures, start_s: float, end_s: float, said: str, path: Path
) -> int:
    """Writes a PNG that says above the widgets what they show; how many lines have data."""
    import matplotlib
    from matplotlib.figure import Figure

    widgets = body["widgets"]
    columns = max(each["x"] + each["width"] for each in widgets)
    rows = max(each["y"] + each["height"] for each in widgets)
    style = {"font.size": 8, "text.color": INK, "axes.edgecolor": "#9a9a9a"}
    drawn = 0
    size = columns * COLUMN, rows * ROW + TITLE
    with matplotlib.rc_context(style):
        figure = Figure(figsize=size)
        figure.text(0.5, 1 - TITLE / 2 / size[1], said, ha="center", va="center", fontsize=11)
        for each in widgets:
            # In inches from the picture's lower left corner.
            left, lower = each["x"] * COLUMN, (rows - each["y"] - each["height"]) * ROW
            width, height = each["width"] * COLUMN, each["height"] * ROW
            axis = figure.add_axes(
                (
                    (left + BESIDE) / size[0],
                    (lower + BELOW) / size[1],
                    (width - BESIDE - RIGHT) / size[0],
                    (height - BELOW - ABOVE) / size[1],
                )
            )
            asked = lines(each)
            found = figures(asked, start_s, end_s)
            _widget(axis, each["properties"], asked, found)
            axis.set(xlim=(_moment(start_s), _moment(end_s)))
            drawn += sum(map(bool, found))
        figure.savefig(path, format="png", dpi=80)
    return drawn


def _widget(
    axis: Any, properties: Mapping[str, Any], asked: Sequence[Line], found: Sequence[Points]
) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    axis.set_title(properties["title"], loc="left", fontsize=8.5)
    if properties["stacked"]:
        times = sorted({time for points in found for time in points})
        axis.stackplot(
            [_moment(time) for time in times],
            [[points.get(time, 0) for time in times] for points in found],
            labels=[line.look["label"] for line in asked],
            colors=[line.look["color"] for line in asked],
            linewidth=0,
        )
    else:
        for line, points in zip(asked, found, strict=True):
            axis.plot(
                [_moment(time) for time in points],
                list(points.values()),
                label=line.look["label"],
                color=line.look["color"],
                linewidth=1.2,
                marker="." if len(points) == 1 else None,
            )
    axis.set_ylim(bottom=properties["yAxis"]["left"]["min"])
    axis.grid(axis="y", color=FAINT)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    locator = AutoDateLocator(maxticks=5)
    axis.xaxis.set_major_locator(locator)
    axis.xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))
    axis.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, -0.12),
        ncols=6,
        frameon=False,
        fontsize=7.5,
        handlelength=1,
        columnspacing=0.8,
    )
    if not any(found):
        axis.text(0.5, 0.5, "no data", transform=axis.transAxes, ha="center", color="#9a9a9a")


def _moment(time_s: float) -> datetime:
    return datetime.fromtimestamp(time_s, UTC)
