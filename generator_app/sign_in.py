"""Who may see a page."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from typing import Any

import streamlit as st

from generator_app.open_id import NoSignIn, set_up

USER_POOL = "SD_APP_OIDC_USER_POOL"
"""Of the environment: the id of the Cognito user pool whose users may come in. Without it there is
no sign-in to ask for: the app is on its owner's machine."""


def require() -> None:
    """What each page calls first: nothing after it runs for who isn't signed in."""
    pool = os.environ.get(USER_POOL)
    if not pool:
        return
    if not _ready(pool):
        st.info("Sign-in is being set up. Reload this page in a minute.")
        st.stop()
    if not may_enter(st.user, time.time()):
        st.title("Stable Diffusion")
        st.write("Sign in to draw pictures.")
        st.button("Sign in", on_click=st.login, type="primary")
        st.stop()


def may_enter(user: Mapping[str, Any], now: float) -> bool:
    """Signed in, and not longer ago than the user pool's tokens are good for: Streamlit's own
    cookie would do for 30 days, also for somebody whom the pool doesn't know any more."""
    return bool(user.get("is_logged_in")) and float(user.get("exp", 0)) > now


def _ready(pool: str) -> bool:
    """Whether Streamlit knows its sign-in; asks the pool where it doesn't yet."""
    if st.secrets.load_if_toml_exists():
        return True
    try:
        set_up(pool)
    except NoSignIn as error:
        logging.getLogger(__name__).warning("%s", error)
        return False
    return st.secrets.load_if_toml_exists()
