"""The pages as their container serves them: also what isn't a page's code asks who it is.

`sign_in.require()` stops a page; Streamlit itself would still take a visitor's file and hand out a
picture to whoever knows its address. How it signs and reads its cookie is private to it, and pinned
with its version (requirements.txt).
"""

from __future__ import annotations

import json
import time
from typing import Any

import streamlit as st
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from streamlit.web.server.starlette.starlette_server_config import USER_COOKIE_NAME
from streamlit.web.server.starlette.starlette_websocket import _get_signed_cookie_with_chunks

from generator_app.sign_in import may_enter

FILES = ("/media/", "/_stcore/upload_file")
"""What users have sent and what they are shown."""


class SignedInAlone:
    """403 for `FILES` to who may not enter."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"].startswith(FILES):
            user = _user(HTTPConnection(scope).cookies)
            if not may_enter(user, time.time()):
                refusal = PlainTextResponse("Sign in first.", status_code=403)
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _user(cookies: dict[str, str]) -> dict[str, Any]:
    signed = _get_signed_cookie_with_chunks(cookies, USER_COOKIE_NAME)
    told: dict[str, Any] = json.loads(signed) if signed else {}
    return told


app = st.App("app.py", middleware=[Middleware(SignedInAlone)])
