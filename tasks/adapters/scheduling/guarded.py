"""Prefect's server behind a guard: it answers only this machine's own names and its own page.

Run as ``python -m tasks.adapters.scheduling.guarded FD`` with a listening socket as that file descriptor;
started by :mod:`tasks.adapters.scheduling.keeper`. Prefect checks the credential and the CSRF token, but
neither whom a request is addressed to nor, for WebSockets, which page it comes from.
"""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import PlainTextResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: a page elsewhere whose name was made to point here (DNS rebinding) still sends its own name
NAMES = ["127.0.0.1", "localhost"]


class OwnPageOnly:
    """Refuses requests that a page of another origin makes, also those that open a WebSocket.

    Args:
        app: what answers the others.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        own = f"http://{headers.get('host', '')}"
        if any(origin != own for origin in headers.getlist("origin")):
            refusal = PlainTextResponse("requests of other pages are refused", status_code=403)
            await refusal(scope, receive, send)
            return

        async def unframed(message: Message) -> None:
            # in another page's frame, a click could be led to a button of this one
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["x-frame-options"] = "DENY"
            await send(message)

        await self.app(scope, receive, unframed)


def guarded(app: ASGIApp) -> ASGIApp:
    """An app behind both checks: whom a request is addressed to, and whose page it comes from."""
    return TrustedHostMiddleware(OwnPageOnly(app), allowed_hosts=NAMES)


def serve(listener: socket.socket) -> None:
    """Run Prefect's server on a socket that listens already, as ``prefect server start`` does."""
    import uvicorn
    from prefect.server.api.server import create_app
    from prefect.settings import get_current_settings

    settings = get_current_settings().server
    config = uvicorn.Config(
        guarded(create_app(final=True)),
        timeout_keep_alive=settings.api.keepalive_timeout,
        ws_ping_interval=settings.api.websocket_ping_interval,
        ws_ping_timeout=settings.api.websocket_ping_timeout,
        log_level=settings.logging_level.lower(),
    )
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
