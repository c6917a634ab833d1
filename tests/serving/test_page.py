"""The page of predict.py --serve in a real browser: a post is typed, and its tags, bars and words are shown as text."""

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_serving import TAGS, made_model, served

from tagstudy.core.corpus import Text
from tagstudy.inference.predictor import Predictor

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = "--headless=new --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-sync"
SECONDS = 120

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not CHROMIUM, reason="needs Chromium")]


class Browser:
    """A page of Chromium, driven by the DevTools protocol over two pipes."""

    def __init__(self, profile: Path) -> None:
        there, self.out = os.pipe()
        self.into, back = os.pipe()
        command = f'exec "$@" 3<&{there} 4>&{back}'  # the browser reads from 3 and writes to 4
        flags = [*FLAGS.split(), "--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank"]
        self.process = subprocess.Popen(
            ["bash", "-c", command, "bash", str(CHROMIUM), *flags], pass_fds=(there, back), stderr=subprocess.DEVNULL
        )
        os.close(there)
        os.close(back)
        self.got, self.number, self.session = b"", 0, ""
        self.errors: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict:
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        os.write(self.out, json.dumps(message | ({"sessionId": self.session} if self.session else {})).encode() + b"\0")
        while (answer := self.read()).get("id") != self.number:
            if answer.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
                self.errors.append(json.dumps(answer["params"]))
        assert "error" not in answer, answer
        return answer["result"]

    def read(self) -> dict:
        while b"\0" not in self.got:
            part = os.read(self.into, 65536)
            assert part, "the browser has ended"
            self.got += part
        message, _, self.got = self.got.partition(b"\0")
        return json.loads(message)

    def evaluate(self, expression: str) -> Any:
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def wait(self, condition: str) -> None:
        end = time.monotonic() + SECONDS
        while not self.evaluate(condition):
            assert time.monotonic() < end, condition
            time.sleep(0.05)

    def type(self, field: str, text: str) -> None:
        self.evaluate(f"document.getElementById({field!r}).value = ''; document.getElementById({field!r}).focus()")
        self.call("Input.insertText", text=text)

    def submit(self) -> None:
        """Click the button, and wait for the answer."""
        x, y = self.evaluate(
            "(({x, y, width, height}) => [x + width / 2, y + height / 2])"
            "(document.querySelector('button').getBoundingClientRect())"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
        self.wait("!['', '…'].includes(document.getElementById('status').textContent)")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_model(tmp_path_factory.mktemp("page") / "model")


@pytest.fixture(scope="module")
def browser(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with served(model) as (_, port):
        opened = Browser(tmp_path_factory.mktemp("profile"))
        try:
            opened.call("Page.navigate", url=f"http://127.0.0.1:{port}/")
            opened.wait("document.readyState == 'complete' && !!document.getElementById('post')")
            yield opened
        finally:
            opened.process.kill()
            opened.process.wait()


ROWS = """Array.from(document.querySelectorAll('#tags tr'), row => [
    row.querySelector('th').textContent, row.className, row.querySelector('meter').value, row.lastChild.textContent])"""


def test_a_post_that_is_typed_gets_tags_bars_and_words(browser: Browser, model: Path) -> None:
    browser.type("title", "How do I read a file in Python?")
    browser.type("body", "It says <b>no such file</b>.")
    browser.submit()
    expected = Predictor(model).explain(Text("How do I read a file in Python?", "It says no such file.")).tags["fusion"]
    rows = browser.evaluate(ROWS)
    assert [row[0] for row in rows] == [tag["tag"] for tag in expected] and set(TAGS) == {row[0] for row in rows}
    for (_, kind, bar, words), tag in zip(rows, expected, strict=True):
        assert (kind == "predicted", bar) == (tag["predicted"], pytest.approx(tag["probability"], abs=1e-3))
        assert words == ", ".join(f"{word['word']} +{word['weight']:.2f}" for word in tag["words"])
    assert any(row[3] for row in rows)
    assert browser.evaluate("document.querySelectorAll('#tags b').length") == 0  # of the tag <b>bold</b>
    assert browser.evaluate("getComputedStyle(document.querySelector('table')).borderCollapse") == "collapse"
    assert browser.errors == []


def test_what_looks_like_html_stays_text(browser: Browser) -> None:
    browser.type("title", "<img src=x onerror='document.title=1'> file </script><script>document.title=1</script>")
    browser.submit()
    assert browser.evaluate("document.title") == "Tags for a post"
    assert browser.evaluate("document.images.length") == 0
    assert browser.errors == []


def test_a_post_without_known_words_is_told(browser: Browser) -> None:
    browser.type("title", "zqxj")
    browser.type("body", "")
    browser.submit()
    assert "No word of this post is known" in browser.evaluate("document.getElementById('status').textContent")


def test_what_is_refused_is_told_and_old_tags_go(browser: Browser) -> None:
    browser.type("title", "")
    browser.submit()
    assert re.match("the text is empty", browser.evaluate("document.getElementById('status').textContent"))
    assert browser.evaluate(ROWS) == []
    browser.errors.clear()  # Chromium logs the status 400
