"""The one-file page: everything inlined, nothing loaded from anywhere."""

import base64
from collections.abc import Sequence
from html import escape

from benchmark.report_charts import Chart
from benchmark.report_tables import Table

STYLE = """
:root { color-scheme: light; --ink: #2b2b2b; --soft: #6b6b6b; --line: #e3e3e3; --mark: #fff4d6; }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 76rem; padding: 2rem 1.25rem 4rem; color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; background: #fff }
h1 { font-size: 1.7rem; margin: 0 0 .25rem } h2 { font-size: 1.15rem; margin: 2.5rem 0 .6rem }
.lead { color: var(--soft); margin: 0 0 1rem }
.caveat { background: var(--mark); border-left: 4px solid #d9a400; padding: .6rem .9rem }
nav { display: flex; flex-wrap: wrap; gap: .2rem 1rem } a { color: #0b6e99 }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .3rem .55rem; border-bottom: 1px solid var(--line); text-align: right;
  vertical-align: top }
th { font-weight: 600; vertical-align: bottom } .text, .sheet th, .sheet td { text-align: left }
.text { max-width: 28rem }
thead th { border-bottom: 2px solid var(--ink) }
.statement, figcaption, small { color: var(--soft); font-size: .85rem }
section p { max-width: 60rem }
figure { margin: 1rem 0 } figure img { max-width: 100%; height: auto }
.sheet td:first-child { max-width: 22rem } .sheet img { display: block; width: 128px;
  border-radius: 4px; image-rendering: auto }
"""


def page(
    title: str,
    lead: str,
    caveat: str,
    tables: Sequence[Table],
    charts: Sequence[Chart],
    sheet: str,
) -> str:
    """The first table comes before the charts: it is the answer, they are its explanation."""
    links = "".join(
        f'<a href="#{slug}">{escape(text)}</a>'
        for slug, text in [
            *((table.slug, table.title) for table in tables[:1]),
            *((chart.slug, chart.title) for chart in charts),
            *((table.slug, table.title) for table in tables[1:]),
            *([("sheet", "The pictures")] if sheet else []),
        ]
    )
    banner = f'<p class="caveat">{escape(caveat)}</p>' if caveat else ""
    body = "".join(
        [
            *(table.html() for table in tables[:1]),
            *(_figure(chart) for chart in charts),
            sheet,
            *(table.html() for table in tables[1:]),
        ]
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>"
        f'<h1>{escape(title)}</h1><p class="lead">{escape(lead)}</p>{banner}'
        f"<nav>{links}</nav>{body}</body></html>\n"
    )


def _figure(chart: Chart) -> str:
    # As an image, not inline: ids in one SVG would otherwise meet those in the next.
    encoded = base64.b64encode(chart.svg.encode()).decode()
    return (
        f'<figure id="{chart.slug}"><h2>{escape(chart.title)}</h2>'
        f'<img alt="{escape(chart.title)}" src="data:image/svg+xml;base64,{encoded}">'
        f"<figcaption>{escape(chart.caption)}</figcaption></figure>"
    )
