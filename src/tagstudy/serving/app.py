"""The addresses of the server: /predict, /health and a page to try it."""

import asyncio
import base64
import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Host, Route, Router

from tagstudy.core.printing import json_line
from tagstudy.inference.predictor import Predictor
from tagstudy.serving.requests import MOST_BYTES, Refused, read_asked
from tagstudy.serving.scorer import Busy, Scorer

PAGE = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
HOSTS = ("127.0.0.1", "localhost")  # a page from elsewhere whose name leads here (DNS rebinding) gets nothing
SECONDS = 10  # in which a request has to arrive
HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}


def make_app(predictor: Predictor) -> Starlette:
    scorer = Scorer(predictor)

    async def predict(request: Request) -> Response:
        asked = read_asked(await body_of(request))
        answers = await scorer.answers(asked.texts, asked.explain)
        return as_json({"system": predictor.system} | ({"posts": answers} if asked.many else answers[0]))

    async def health(request: Request) -> Response:
        return as_json({"status": "ok", "system": predictor.system, "tags": len(predictor.names)})

    async def page(request: Request) -> Response:
        return Response(PAGE, headers=HEADERS | page_headers(PAGE), media_type="text/html")

    routes = [
        Route("/predict", predict, methods=["POST"]),
        Route("/health", health),
        Route("/", page),
    ]
    handlers: dict[Any, Callable[..., Any]] = {
        Refused: lambda request, problem: error(problem.status, problem.reason),
        Busy: lambda request, problem: error(503, "too many posts are waiting; try again"),
        HTTPException: lambda request, problem: error(problem.status_code, problem.detail, problem.headers),
        Exception: lambda request, problem: error(500, "internal error; see the server's terminal"),
    }
    return Starlette(routes=[Host(host, Router(routes)) for host in HOSTS], exception_handlers=handlers)


async def body_of(request: Request) -> bytes:
    """Raises :class:`Refused` where it is not JSON by its type, too long or too slow."""
    # A page from elsewhere can send other types without asking, but not this one.
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Refused(415, "the request's Content-Type is not application/json")
    data = bytearray()
    try:
        async with asyncio.timeout(SECONDS):
            async for part in request.stream():
                data += part
                if len(data) > MOST_BYTES:
                    raise Refused(413, f"the request is longer than {MOST_BYTES:,} bytes")
    except (TimeoutError, ClientDisconnect):
        raise Refused(408, f"the request took longer than {SECONDS} seconds to arrive") from None
    return bytes(data)


def as_json(value: Any, status: int = 200, headers: Any = None) -> Response:
    """A line of JSON."""
    return Response(f"{json_line(value)}\n", status, HEADERS | dict(headers or {}), "application/json")


def error(status: int, reason: str, headers: Any = None) -> Response:
    return as_json({"error": reason}, status, headers)


def page_headers(page: str) -> dict[str, str]:
    """A policy under which the page's own script and style run, and nothing else; it may ask this server alone."""
    script, style = (digest(re.findall(rf"<{name}>(.*?)</{name}>", page, re.DOTALL)[0]) for name in ("script", "style"))
    policy = (
        f"default-src 'none'; script-src {script}; style-src {style}; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return {"Content-Security-Policy": policy, "Referrer-Policy": "no-referrer"}


def digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
