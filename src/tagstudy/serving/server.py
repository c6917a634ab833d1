"""The server itself, on this machine alone."""

import asyncio
import os
import socket
from contextlib import suppress

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from tagstudy.core.errors import UserError
from tagstudy.core.printing import json_line, print_visible
from tagstudy.inference.predictor import Predictor
from tagstudy.serving.app import SECONDS, make_app

HOST = "127.0.0.1"
CONNECTIONS = 500  # at a time; more get 503


class Protocol(H11Protocol):
    """HTTP/1.1; a request that cannot be parsed also gets its error as a line of JSON.

    A connection whose next request has not begun after SECONDS is closed: uvicorn would wait for its headers for ever.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.await_request()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self.deadline.cancel()
        self.await_request()

    def await_request(self) -> None:
        self.deadline = self.loop.call_later(SECONDS, self.close_unless_asked)

    def close_unless_asked(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        super().send_400_response(json_line({"error": msg}))


def listen(port: int) -> socket.socket:
    """Port 0 is one that is free. Raises :class:`UserError` for one in use."""
    try:
        return socket.create_server((HOST, port))
    except (OSError, OverflowError) as problem:
        reason = os.strerror(problem.errno or 0) if isinstance(problem, OSError) else "no port"
        raise UserError(f"--port {port}: {reason}; name another, or 0 for any that is free") from None


class Server(uvicorn.Server):
    """Says where it answers once it handles signals: before, an interrupt may get lost in an import."""

    def __init__(self, config: uvicorn.Config, system: str) -> None:
        super().__init__(config)
        self.system = system

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listening in sockets or ():
            port = listening.getsockname()[1]
            print_visible(f"predict: http://{HOST}:{port}/ tags posts by {self.system}; Ctrl-C ends it")


def serve(predictor: Predictor, listening: socket.socket) -> None:
    """Answer until Ctrl-C or a termination."""
    config = uvicorn.Config(
        make_app(predictor),
        http=Protocol,
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_level="error",
        server_header=False,
        limit_concurrency=CONNECTIONS,
        timeout_graceful_shutdown=3,
    )
    with suppress(KeyboardInterrupt):
        Server(config, predictor.system).run(sockets=[listening])
