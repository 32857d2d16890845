"""A browser's part of Streamlit, without one: what the page shows, and a click."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

XSRF = "_streamlit_xsrf"


class Page:
    """`run` runs the script as a new visitor's browser has it run."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self.messages: list[ForwardMsg] = []

    @property
    def text(self) -> str:
        """All that the last run has sent."""
        return "\n".join(str(message) for message in self.messages)

    def run(self, clicked: str = "") -> None:
        """Until the script has ended; `clicked` is a button's id."""
        told = BackMsg()
        told.rerun_script.query_string = ""
        if clicked:
            told.rerun_script.widget_states.widgets.add(id=clicked, trigger_value=True)
        self._socket.send(told.SerializeToString())
        self.messages = []
        while not self.messages or self.messages[-1].WhichOneof("type") != "script_finished":
            message = ForwardMsg()
            sent = self._socket.recv(timeout=30)
            assert isinstance(sent, bytes)
            message.ParseFromString(sent)
            self.messages.append(message)

    def button(self, label: str) -> str:
        """Its id."""
        (found,) = (
            message.delta.new_element.button.id
            for message in self.messages
            if message.delta.new_element.button.label == label
        )
        return str(found)

    def redirect(self) -> str:
        """Where the last run has sent the browser to sign in."""
        (found,) = (
            message.auth_redirect.url
            for message in self.messages
            if message.WhichOneof("type") == "auth_redirect"
        )
        return str(found)


@contextmanager
def visited(url: str, trust: ssl.SSLContext, cookies: str = "") -> Iterator[Page]:
    """`url` begins with https and has no slash at its end. Who it is Streamlit takes from a cookie
    only beside the token against forged requests that it has given this browser."""
    with httpx.Client(verify=trust, trust_env=False) as client:
        client.get(f"{url}/_stcore/health")
        token = client.cookies[XSRF]
    sent = "; ".join(filter(None, [cookies, f"{XSRF}={token}"]))
    with connect(
        f"wss{url.removeprefix('https')}/_stcore/stream",
        ssl=trust,
        origin=Origin(url),
        subprotocols=[Subprotocol("streamlit"), Subprotocol(token)],
        additional_headers={"Cookie": sent},
        max_size=None,
        proxy=None,
    ) as socket:
        page = Page(socket)
        page.run()
        yield page
