"""A picture on a page: what it took, what can be done with it, and what is like it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import streamlit as st

from generator_app import repeat, session
from generator_app.client import ApiError, Kept
from generator_app.estimate import duration, money
from generator_app.results import Result

RECOMMENDED = 6
COLUMNS = 3


def grid(results: Sequence[Result], where: str) -> None:
    """`where` keeps apart the buttons of a picture that stands on a page twice."""
    columns = st.columns(min(COLUMNS, max(1, len(results))))
    for at, result in enumerate(results):
        with columns[at % len(columns)]:
            card(result, f"{where}.{at}")


def card(result: Result, key: str) -> None:
    content, seed = result.picture.content, result.picture.seed
    with st.container(border=True):
        st.image(content, alt=f"Drawn: {result.prompt}", width="stretch")
        took = [f"seed {seed}", str(result.fields["model"])]
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
    """Of the gallery; `extra` adds what a page has to say of each."""
    columns = st.columns(COLUMNS)
    for at, kept in enumerate(pictures):
        with columns[at % COLUMNS], st.container(border=True):
            st.image(kept.url, alt=f"In the gallery: {kept.prompt}", width="stretch")
            near = "" if kept.distance is None else f" · distance {kept.distance:.2f}"
            st.text(kept.prompt)
            st.caption(f"{kept.model}{near}")
            if st.button("Use its settings", key=f"{key}.{kept.id}.use"):
                session.bring(kept.fields)
                st.switch_page(session.CREATE)
            if extra:
                extra(kept, f"{key}.{kept.id}")
