"""A picture on a page: what it took, what can be done with it, and what is like it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from generator_app import repeat, session
from generator_app.client import STANDARD, ApiError, Kept, Variant
from generator_app.estimate import duration, money
from generator_app.results import Result, of_answer

RECOMMENDED = 6
COLUMNS = 3


def draw(page: str, fields: Mapping[str, Any], variant: Variant) -> None:
    """They are then the page's latest, until it draws again."""
    try:
        with st.spinner("Drawing…"):
            drawn = session.client().draw(fields)
    except ApiError as error:
        st.error(str(error))
        return
    session.remember(results := of_answer(fields, drawn, variant))
    st.session_state[f"{page}.latest"] = results


def grid(results: Sequence[Result], where: str) -> None:
    """`where` keeps apart the buttons of a picture that stands on a page twice."""
    for at, (cell, result) in enumerate(zip(_cells(len(results)), results, strict=True)):
        with cell:
            card(result, f"{where}.{at}")


def _cells(count: int) -> Iterator[DeltaGenerator]:
    """Row by row, which is the order that readers and phones have them in."""
    for first in range(0, count, COLUMNS):
        yield from st.columns(min(COLUMNS, count))[: count - first]


def card(result: Result, key: str) -> None:
    content, seed = result.picture.content, result.picture.seed
    with st.container(border=True):
        st.image(content, alt=f"Drawn: {result.prompt}", width="stretch")
        took = [f"seed {seed}", str(result.fields["model"])]
        if (mode := result.fields.get("quality", STANDARD)) != STANDARD:
            took.append(mode)
        if result.seconds is not None:
            took += [duration(result.seconds), money(result.usd)]
        st.caption(" · ".join(took))
        for warning in result.warnings:
            st.warning(warning)
        with st.container(horizontal=True):
            if st.button("Use settings", key=f"{key}.use"):
                session.bring(result.fields)
                st.switch_page(session.CREATE)
            if st.button("Edit", key=f"{key}.edit"):
                st.session_state["edit_source"] = result
                st.switch_page(session.EDIT)
            st.download_button(
                "Download",
                content,
                f"{result.fields['model']}-{seed}.png",
                "image/png",
                on_click="ignore",
                key=f"{key}.download",
            )
        with st.expander("The same by curl, Python, Node"):
            lines(result.fields)
        with st.expander("Similar pictures", key=f"{key}.similar", on_change="rerun") as opened:
            if opened.open:
                recommendations(f"{key}.like", RECOMMENDED, result.prompt, result.picture.id)


def lines(fields: Mapping[str, Any]) -> None:
    url = session.client().url
    ways: Mapping[str, tuple[str, Callable[[str, Mapping[str, Any]], str]]] = {
        "curl": ("bash", repeat.curl),
        "Python": ("python", repeat.python),
        "Node": ("javascript", repeat.node),
    }
    for tab, (language, written) in zip(st.tabs(list(ways)), ways.values(), strict=True):
        tab.code(written(url, fields), language=language, wrap_lines=True)
    st.caption("KEY is the API's key.")


def recommendations(key: str, limit: int, prompt: str, but: str | None = None) -> None:
    """What is near in the gallery, nearest first. By the prompt, also of a kept picture, whose
    vector comes some seconds after it; `but` is its id."""
    try:
        found = [kept for kept in session.similar(limit + 1, prompt=prompt) if kept.id != but]
    except ApiError as error:
        st.caption(session.without_gallery(error))
        return
    if not found:
        st.caption("Nothing in the gallery is like it yet.")
    kept_grid(found[:limit], key)


def kept_grid(
    pictures: Sequence[Kept], key: str, extra: Callable[[Kept, str], None] | None = None
) -> None:
    """Of the gallery; `extra` adds a page's own buttons."""
    for cell, kept in zip(_cells(len(pictures)), pictures, strict=True):
        with cell, st.container(border=True):
            st.image(kept.url, alt=f"In the gallery: {kept.prompt}", width="stretch")
            near = "" if kept.distance is None else f" · distance {kept.distance:.2f}"
            st.text(kept.prompt)
            st.caption(f"{kept.model}{near}")
            with st.container(horizontal=True):
                if st.button("Use settings", key=f"{key}.{kept.id}.use"):
                    session.bring(kept.fields)
                    st.switch_page(session.CREATE)
                if extra:
                    extra(kept, f"{key}.{kept.id}")
