"""predict.py --serve, as a process of its own: it answers what the predictor says, and bad requests in one line."""

import asyncio
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from itertools import islice
from pathlib import Path
from threading import Event
from typing import Any
from unittest import mock

import numpy as np
import pytest
from conftest import ENVIRONMENT, ROOT, call, write_model
from starlette.requests import Request

from tagstudy.core.corpus import Text
from tagstudy.core.errors import UserError
from tagstudy.data.readers import Post, read_posts
from tagstudy.data.text import tokenize
from tagstudy.inference.predictor import Predictor
from tagstudy.predictions.decisions import Calibration, Decision
from tagstudy.serving import app, scorer
from tagstudy.serving.requests import LONGEST, LONGEST_EXPLAINED, MOST_BYTES, MOST_POSTS, Refused
from tagstudy.serving.server import listen

TAGS = ["python", "c++", "<b>bold</b>", "ünïcode\u2028"]
CALIBRATION = Calibration(np.linspace(0, 1, 9), np.linspace(-4, 4, 9), np.ones(4), np.zeros(4))
JSON = {"Content-Type": "application/json"}


def posts(count: int) -> list[Text]:
    found = (post for post in read_posts(ROOT / "data/sample/Posts.xml") if isinstance(post, Post))
    return [
        *(post.text for post in islice(found, count - 3)),
        Text("日本語 python", ""),
        Text("", "zqxj"),
        Text("c++", "नम"),
    ]


POSTS = posts(1000)


def made_model(folder: Path) -> Path:
    """Both arms on words, one of whose vocabularies is half of the other."""
    vocabulary = sorted({token for text in POSTS[:500] for part in text for token in tokenize(part)} | {"日本"})
    arms = {
        "dense": {"kind": "tf", "sublinear_tf": False, "vocabulary": vocabulary},
        "sparse": {"kind": "tfidf", "max_ngram": 1, "sublinear_tf": True, "vocabulary": vocabulary[::2]},
    }
    decision = Decision(CALIBRATION, 0.4)
    return write_model(folder, arms, decision, TAGS, skip_connection=True)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_model(tmp_path_factory.mktemp("served") / "model")


def heed_ctrl_c() -> None:
    """In the server: a shell that runs the tests in the background has them, and what they start, ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def served(model: Path) -> Iterator[tuple[subprocess.Popen, int]]:
    """The server's process and its port."""
    command = [sys.executable, ROOT / "src/predict.py", "--serve", "--port", "0", "--model", model]
    process = subprocess.Popen(
        command,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_ctrl_c,
    )
    try:
        assert process.stdout and process.stderr
        line = process.stdout.readline()
        address = re.fullmatch(r"predict: http://127\.0\.0\.1:(\d+)/ tags posts by \w+; Ctrl-C ends it\n", line)
        assert address, line + process.stderr.read()
        yield process, int(address[1])
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def port(model: Path) -> Iterator[int]:
    with served(model) as (_, port):
        yield port


def ask(port: int, method: str, path: str, body: Any = None, headers: dict | None = None) -> tuple[HTTPResponse, str]:
    """A request; a body that is neither bytes nor None is sent as JSON."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        connection.request(method, path, data, JSON | (headers or {}))
        response = connection.getresponse()
        return response, response.read().decode()
    finally:
        connection.close()


def answer(port: int, body: Any) -> Any:
    response, text = ask(port, "POST", "/predict", body)
    assert response.status == 200, text
    assert text.count("\n") == 1 and len(text.splitlines()) == 1
    return json.loads(text)


def as_told(text: Text) -> dict[str, str]:
    """As HTML, which is how a file's posts are read."""
    escaped = (part.replace("&", "&amp;").replace("<", "&lt;") for part in text)
    return dict(zip(("title", "body"), escaped, strict=True))


def assert_as_predicted(found: list[dict], texts: list[Text], predictor: Predictor) -> None:
    scores = predictor.scores(texts)["fusion"]
    expected = predictor.predicted(scores, "fusion", digits=9)
    assert [post["known_words"] for post in found] == scores.known.tolist()
    for post, row in zip(found, expected, strict=True):
        given = {tag["tag"]: tag["probability"] for tag in post["tags"]}
        close = {tag for tag, probability in given.items() | set(row) if abs(probability - 0.4) < 1e-5}
        assert {t: p for t, p in given.items() if t not in close} == pytest.approx(
            {t: p for t, p in row if t not in close}, abs=1e-5
        )


def test_a_thousand_posts_get_the_tags_that_the_predictor_gives(port: int, model: Path) -> None:
    """In requests of many posts and of one, which wait together."""
    with ThreadPoolExecutor(8) as threads:
        requests = [POSTS[start : start + 200] for start in range(0, 800, 200)]
        found = [
            *threads.map(lambda texts: answer(port, {"posts": list(map(as_told, texts))}), requests),
            *threads.map(lambda text: answer(port, as_told(text)), POSTS[800:]),
        ]
    assert {each.pop("system") for each in found} == {"fusion"}
    answers = [post for each in found[:4] for post in each["posts"]] + found[4:]
    assert_as_predicted(answers, POSTS, Predictor(model))
    assert sum(len(post["tags"]) for post in answers) > 500


def test_an_explanation_has_the_words_that_are_evidence(port: int, model: Path) -> None:
    found = answer(port, {"title": "How do I read a file in Python?", "explain": True})
    known, tags = Predictor(model).explain(Text("How do I read a file in Python?", ""))
    assert found == {"system": "fusion", "known_words": known, "tags": tags["fusion"]}
    assert any(tag["words"] for tag in found["tags"])
    assert answer(port, {"posts": [{"title": "file"}], "explain": True})["posts"][0]["tags"][0]["words"]


def test_health_says_what_is_served(port: int) -> None:
    response, text = ask(port, "GET", "/health")
    assert response.status == 200 and json.loads(text) == {"status": "ok", "system": "fusion", "tags": 4}


def test_the_page_runs_nothing_but_its_own_script(port: int) -> None:
    response, text = ask(port, "GET", "/")
    assert response.status == 200 and response.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = dict(part.strip().split(" ", 1) for part in response.headers["Content-Security-Policy"].split(";"))
    assert policy.pop("default-src") == "'none'" and policy["connect-src"] == "'self'"
    for kind in ("script-src", "style-src"):
        assert re.fullmatch(r"'sha256-[\w+/]{43}='", policy[kind])
    assert "unsafe" not in str(policy) and response.headers["X-Content-Type-Options"] == "nosniff"
    assert "//" not in re.sub(r"^\s*//.*", "", text, flags=re.MULTILINE), "a resource from elsewhere"
    assert "innerHTML" not in text and not re.search(r"<\w[^>]*\s(?:on\w+|style)=", text)


def posted(body: Any, status: int = 400) -> tuple[str, str, Any, dict, int]:
    return "POST", "/predict", body, {}, status


def of_type(kind: str) -> tuple[str, str, Any, dict, int]:
    return "POST", "/predict", {"title": "a"}, {"Content-Type": kind}, 415


MALFORMED = [
    *map(posted, [b"", b"{", b"\xff\xfe", b"null", b"[]", b"1", b'"a"', b"NaN", b'{"title": NaN}', b"{'title': 'a'}"]),
    *map(posted, [b"[" * 100_000, b'{"title": ' + b"9" * 5000 + b"}", b'{"title": "a"', b'\xef\xbb\xbf{"title": "a"}']),
    *map(posted, [b'{"title": "\x00"}', b'{"title": "a"} {}', b"title=a", b'{"title": "\\ud800"}', b"\x1f\x8b\x08"]),
    *map(
        posted, [{}, {"title": ""}, {"title": " \n"}, {"body": "<p></p>"}, {"title": None}, {"title": 1}, {"body": []}]
    ),
    *map(posted, [{"body": {}}, {"text": "a"}, {"title": "a", "tags": ["b"]}, {"title": "a", "\u202e\n": 1}]),
    *map(posted, [{"title": "a", "explain": 1}, {"title": "a", "explain": "yes"}, {"title": "a", "explain": None}]),
    *map(posted, [{"posts": []}, {"posts": {}}, {"posts": None}, {"posts": "a"}, {"posts": ["a"]}, {"posts": [None]}]),
    *map(posted, [{"posts": [{}]}, {"posts": [{"title": "a"}, {"title": 2}]}, {"posts": [[]]}, {"posts": 1}]),
    *map(posted, [{"posts": [{"title": "a"}], "title": "b"}, {"posts": [{"title": "a", "explain": True}]}]),
    posted({"posts": [{"title": "a"}] * 2, "explain": True}),
    posted({"posts": [{"title": "a"}] * (MOST_POSTS + 1)}, 413),
    posted({"title": "a" * (LONGEST["title"] + 1)}, 413),
    posted({"body": "a" * (LONGEST["body"] + 1)}, 413),
    posted({"body": "a " * LONGEST_EXPLAINED, "explain": True}, 413),
    posted(b" " * (MOST_BYTES + 1), 413),
    *map(of_type, ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=a"]),
    *[(method, "/predict", None, {}, 405) for method in ("GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS")],
    *[("POST", path, {"title": "a"}, {}, 405) for path in ("/", "/health")],
    *[
        ("GET", path, None, {}, 404)
        for path in ("/x", "/../etc/passwd", "/%2e%2e/etc/passwd", "/page.html", "//", "/;ls")
    ],
    *[("GET", "/", None, {"Host": host}, 404) for host in ("example.com", "127.0.0.1.example.com", "")],
]


@pytest.mark.parametrize(("method", "path", "body", "headers", "status"), MALFORMED)
def test_a_malformed_request_gets_a_line(
    port: int, method: str, path: str, body: Any, headers: dict, status: int
) -> None:
    response, text = ask(port, method, path, body, headers)
    assert response.status == status, text
    if method != "HEAD":
        assert len(text.splitlines()) == 1 and text.endswith("}\n") and len(text) < 300
        assert list(json.loads(text)) == ["error"]


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",  # no host
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n"
        + b"A: "
        + b"a" * 20_000,  # with more, the end of the connection could reset it
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",  # TLS
    ],
)
def test_what_is_no_http_gets_a_line(port: int, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(sent)
        got = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    head, _, text = got.partition("\r\n\r\n")
    assert re.match(r"HTTP/1\.1 4\d\d ", head), got
    assert list(json.loads(text)) == ["error"] and len(text.splitlines()) == 1


def test_a_request_that_does_not_arrive_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never() -> Any:
        await asyncio.sleep(60)

    monkeypatch.setattr(app, "SECONDS", 0.01)
    scope = {"type": "http", "method": "POST", "headers": [(b"content-type", b"application/json; charset=utf-8")]}
    with pytest.raises(Refused) as refused:
        asyncio.run(app.body_of(Request(scope, never)))
    assert refused.value.status == 408


@pytest.mark.slow
@pytest.mark.parametrize("sent", [b"", b"GET /health HTTP/1.1\r\nHost: loc"])
def test_a_connection_whose_request_does_not_begin_is_closed(port: int, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=3 * app.SECONDS) as connection:
        connection.sendall(sent)
        assert connection.recv(1) == b""


def test_it_listens_on_this_machine_alone_and_ends_quietly(model: Path) -> None:
    with served(model) as (process, port):
        with pytest.raises(UserError, match=f"--port {port}: Address already in use; name another, or 0"):
            listen(port)
        with pytest.raises(OSError), socket.create_connection(("127.0.0.2", port), timeout=5):
            pass
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err) == (0, "", "")


@pytest.mark.parametrize("port", ["-1", "65536"])
def test_what_is_no_port_is_a_line(model: Path, port: str) -> None:
    with pytest.raises(UserError, match=f"--port {port}: no port; name another, or 0 for any that is free"):
        listen(int(port))


def test_without_its_packages_it_says_what_to_install(model: Path) -> None:
    program = (
        "import runpy, sys; sys.modules['uvicorn'] = None; sys.argv = ['predict.py', '--serve'];"
        f"runpy.run_path({str(ROOT / 'src/predict.py')!r}, run_name='__main__')"
    )
    done = call(sys.executable, "-c", program, cwd=model)
    assert done.returncode == 1
    assert done.stderr == (
        "predict: --serve needs uvicorn, which is not installed; run pip install -r requirements-serve.txt\n"
    )


def test_those_that_wait_together_are_scored_in_one_call(model: Path) -> None:
    predictor, gate, sizes = Predictor(model), Event(), []

    def scores(texts: list[Text], calibrated: bool = True, plain: Any = predictor.scores) -> Any:
        gate.wait()
        sizes.append(len(texts))
        return plain(texts, calibrated)

    async def requests() -> list:
        scored = scorer.Scorer(predictor)
        waiting = [asyncio.create_task(scored.answers([text], False)) for text in POSTS[:50]]
        await asyncio.sleep(0.1)
        waiting[7].cancel()
        with pytest.raises(scorer.Busy):
            await scored.answers(POSTS * 5, False)
        gate.set()
        return await asyncio.gather(*waiting, return_exceptions=True)

    with mock.patch.object(predictor, "scores", scores):
        found = asyncio.run(requests())
    assert isinstance(found.pop(7), asyncio.CancelledError)
    assert_as_predicted([post for [post] in found], POSTS[:7] + POSTS[8:50], Predictor(model))
    assert sum(sizes) in (49, 50) and len(sizes) <= 3  # the first may have been taken before the others came


def test_an_error_of_the_predictor_reaches_all_that_wait_and_no_one_else(model: Path) -> None:
    predictor = Predictor(model)

    async def requests() -> list:
        scored = scorer.Scorer(predictor)
        with mock.patch.object(predictor, "scores", side_effect=RuntimeError("broken")):
            failed = await asyncio.gather(
                *(scored.answers([text], False) for text in POSTS[:3]), return_exceptions=True
            )
        return [*failed, await scored.answers([POSTS[0]], False)]

    *failed, found = asyncio.run(requests())
    assert [str(problem) for problem in failed] == ["broken"] * 3
    assert_as_predicted(found, POSTS[:1], predictor)
