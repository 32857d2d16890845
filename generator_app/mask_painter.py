"""Painting on a picture what is to be drawn anew. A component of ours: a canvas over the picture,
for mouse, pen, finger and keyboard."""

from __future__ import annotations

import hashlib
from pathlib import Path

import streamlit as st

from generator_app.picture_file import Source

_HTML = """
<canvas tabindex="0" role="img" aria-describedby="mask-help"></canvas>
<p id="mask-help">Paint what is to be drawn anew. With the keyboard: arrow keys move the brush,
space paints, Escape clears.</p>
<div class="tools">
  <label>Brush <input type="range" min="2" max="40" value="12" aria-label="Brush, per cent"></label>
  <button type="button">Clear the mask</button>
  <output aria-live="polite"></output>
</div>
"""
_CSS = """
canvas { max-width: 100%; width: 100%; image-rendering: auto; touch-action: none;
  cursor: crosshair; border-radius: 8px; border: 1px solid var(--st-border-color); }
canvas:focus-visible { outline: 3px solid var(--st-primary-color); outline-offset: 2px; }
p, label, output { color: var(--st-text-color); font: 0.875rem var(--st-font); }
.tools { display: flex; gap: 1rem; align-items: center; flex-wrap: wrap; }
input { accent-color: var(--st-primary-color); }
button { font: inherit; padding: 0.4rem 0.8rem; border-radius: 8px; cursor: pointer;
  color: var(--st-text-color); background: var(--st-background-color);
  border: 1px solid var(--st-border-color); }
"""
_JS = (Path(__file__).parent / "mask_painter.js").read_text()


def mask_painter(source: Source, key: str) -> str | None:
    """A PNG as a data URL, as large as `source`, transparent where it is to be drawn anew; None
    while nothing is painted."""
    painter = st.components.v2.component("mask_painter", html=_HTML, css=_CSS, js=_JS)
    # Another picture is another component: what was painted on the one before is not its mask.
    key = f"{key}.{hashlib.sha256(source.png).hexdigest()}"
    painted = painter(
        key=key,
        data={"picture": source.data_url, "width": source.width, "height": source.height},
        on_mask_change=lambda: None,
    )
    return painted.get("mask") or None
