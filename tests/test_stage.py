"""stage.py: outputs are whole or absent, and what the user can mend is one line."""

import sys
from pathlib import Path

import pytest

from stage import BadInput, run, whole_folder


def test_a_folder_takes_the_place_of_the_earlier_one(tmp_path: Path) -> None:
    for text in ("first", "second"):
        with whole_folder(tmp_path / "data/posts") as folder:
            (folder / f"{text}.txt").write_text(text)
    assert [path.name for path in (tmp_path / "data/posts").iterdir()] == ["second.txt"]
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["posts"]


def test_an_error_leaves_the_earlier_folder_as_it_was(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "posts") as folder:
        (folder / "a.txt").write_text("whole")
    with pytest.raises(KeyError), whole_folder(tmp_path / "posts") as folder:
        (folder / "a.txt").write_text("half")
        raise KeyError
    assert (tmp_path / "posts/a.txt").read_text() == "whole"
    assert [path.name for path in tmp_path.iterdir()] == ["posts"]


@pytest.mark.parametrize(
    "problem", [BadInput("posts.csv: no\ntags"), FileNotFoundError(2, "No", "posts"), KeyboardInterrupt()]
)
def test_what_the_user_can_mend_is_one_line(problem: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    def stage() -> str:
        raise problem

    monkeypatch.setattr(sys, "argv", ["src/ingest.py"])
    with pytest.raises(SystemExit) as stop:
        run(stage)
    assert str(stop.value.code).startswith("ingest: ")
    assert "\n" not in str(stop.value.code)


def test_a_stage_ends_with_what_it_made(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr(sys, "argv", ["src/ingest.py"])
    run(lambda: "kept 3 posts")
    assert capsys.readouterr().out.startswith("ingest: kept 3 posts (")
