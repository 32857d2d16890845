"""The one-file page: everything inlined, nothing loaded from anywhere."""

import base64
import io
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from benchmark.report.contents import Report

ROWS_SHOWN = 12
WIDEST = 192


def page(report: Report) -> str:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # As images, not inline: ids in one SVG would otherwise meet those in the next.
    environment.filters["svg"] = lambda svg: _data_uri("image/svg+xml", svg.encode())
    environment.filters["thumbnail"] = thumbnail_uri
    template = environment.get_template("page.html")
    return template.render(report=report, shown=ROWS_SHOWN)


def thumbnail_uri(path: Path) -> str:
    from PIL import Image

    with Image.open(path) as opened:
        image = opened.convert("RGB")
    image.thumbnail((WIDEST, WIDEST))
    out = io.BytesIO()
    image.save(out, "WEBP", quality=82)
    return _data_uri("image/webp", out.getvalue())


def _data_uri(media_type: str, content: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"
