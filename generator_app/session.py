"""What the pages share: the API, what it has, and what this session has drawn."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from generator_app.client import ApiError, Client, Kept, Variant
from generator_app.results import KEPT, Result

URL, KEY = "SD_APP_API_URL", "SD_APP_API_KEY"
"""Of the environment: the API's URL, which ends in /v1, and its key."""
CREATE, EDIT, COMPARE = "views/create.py", "views/edit.py", "views/compare.py"
GALLERY, HISTORY = "views/gallery.py", "views/history.py"


@st.cache_resource
def _client(url: str, key: str) -> Client:
    return Client(url, key)


def client() -> Client:
    return _client(os.environ[URL], os.environ[KEY])


@st.cache_data(ttl=30, show_spinner=False)
def _models(url: str, key: str) -> list[Variant]:
    return _client(url, key).models()


def variants() -> list[Variant]:
    """Those deployed; without any, or without an answer, the page ends here and says so."""
    try:
        found = _models(os.environ[URL], os.environ[KEY])
    except ApiError as error:
        st.error(str(error))
        st.stop()
    if not found:
        st.info("No model is deployed: `npx cdk deploy SdG5Stack` is the first.")
        st.stop()
    return found


@st.cache_data(ttl=600, max_entries=500, show_spinner=False)
def _tokens(url: str, key: str, prompt: str, model: str) -> int:
    return _client(url, key).tokens(prompt, model)


def tokens(prompt: str, model: str) -> int:
    """Raises ApiError."""
    return _tokens(os.environ[URL], os.environ[KEY], prompt, model)


@st.cache_data(ttl=20, max_entries=200, show_spinner=False)
def _similar(url: str, key: str, asked: Mapping[str, str], limit: int) -> list[Kept]:
    return _client(url, key).similar(limit=limit, **asked)


def similar(limit: int, **asked: str) -> list[Kept]:
    """As Client.similar, remembered for seconds: a page runs anew with every click."""
    return _similar(os.environ[URL], os.environ[KEY], asked, limit)


@st.cache_data(ttl=60, show_spinner=False)
def _gallery_problem(url: str, key: str) -> str:
    try:
        _client(url, key).pictures(1)
    except ApiError as error:
        return without_gallery(error)
    return ""


def gallery_problem() -> str:
    """Why there is no gallery, empty where there is one."""
    return _gallery_problem(os.environ[URL], os.environ[KEY])


def without_gallery(error: ApiError) -> str:
    """What the API says, and where it may be too old to say it, how to get a gallery."""
    if error.status != 404 or error.code == "picture_not_found":
        return str(error)
    return (
        "The gallery isn't deployed: set `sd.gallery.enabled`, then "
        f"`npx cdk deploy SdGalleryStack`. ({error})"
    )


def history() -> list[Result]:
    """Newest first."""
    found: list[Result] = st.session_state.setdefault("history", [])
    return found


def remember(results: Sequence[Result]) -> None:
    history()[:0] = results
    del history()[KEPT:]


def bring(fields: Mapping[str, Any]) -> None:
    """Fields for the page of creating: it takes them when it runs next."""
    st.session_state["brought"] = dict(fields)


def brought() -> dict[str, Any]:
    """Once."""
    fields: dict[str, Any] = st.session_state.pop("brought", {})
    return fields
