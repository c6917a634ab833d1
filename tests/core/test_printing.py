"""printing.py: nothing that comes from outside steers a terminal."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagstudy.core.errors import LONGEST, UserError, user_errors
from tagstudy.core.printing import print_visible, visible


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("c++ 中文 é", "c++ 中文 é"),
        ("\x1b[31mred", "�[31mred"),
        ("\x9b2J", "�2J"),
        ("a\r=1\n\tb\u2028c\xa0d", "a =1  b c d"),
        ("\ufeff=1\u200b+\u202eab\u2066", "=1+ab"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("\0\x07\x7f", "���"),
    ],
)
def test_what_cannot_be_seen_is_replaced(text: str, printed: str) -> None:
    assert visible(text) == printed
    assert str(UserError(text)) == printed


@given(st.text())
def test_any_text_is_one_line_that_a_terminal_shows(text: str) -> None:
    shown = visible(text)
    assert len(shown.splitlines()) <= 1 and visible(shown) == shown
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u200b\u202a-\u202e\ufeff]", shown)


def test_lines_stay_lines(capsys: pytest.CaptureFixture) -> None:
    print_visible("a\x1b\nb")
    assert capsys.readouterr().out == "a�\nb\n"


@pytest.mark.parametrize(
    "problem", [UserError("x" * 10**6 + "; do this"), FileNotFoundError(2, "No", "\x1b" + "x" * 10**6)]
)
def test_a_line_is_never_long(problem: Exception) -> None:
    with pytest.raises(SystemExit) as stop, user_errors("predict"):
        raise problem
    line = str(stop.value.code)
    assert line.isprintable() and len(line) < LONGEST + 200
    assert line.endswith(("; do this", "runs the stages that write it"))
