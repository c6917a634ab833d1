"""files.py: JSON has one layout, and a file appears as a whole."""

import json
from pathlib import Path

import pytest

from tagstudy.core.files import atomic_file, atomic_folder, write_json


@pytest.mark.parametrize(
    "value", [["c#", 'a "quote"', "\n\u2028é", "日本"], ["one"], [], ["a", 1], [["a"]], {"a": ["b"]}]
)
def test_lists_of_words_are_laid_out_as_all_json(tmp_path: Path, value: object) -> None:
    write_json(tmp_path / "a.json", value)
    expected = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == expected


def test_a_file_is_there_when_it_is_whole(tmp_path: Path) -> None:
    final = tmp_path / "a.txt"
    with pytest.raises(OSError, match="disk"), atomic_file(final) as path:
        path.write_text("half")
        raise OSError("disk")
    assert not list(tmp_path.iterdir())
    with atomic_file(final) as path:
        path.write_text("whole")
        assert not final.exists()
    assert final.read_text() == "whole"


@pytest.mark.parametrize("problem", [OSError, KeyboardInterrupt])
def test_a_folder_stays_when_its_replacement_cannot_be_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: type[BaseException]
) -> None:
    final, rename = tmp_path / "posts", Path.rename
    final.mkdir()
    (final / "a.txt").write_text("before")

    def fails(path: Path, target: Path) -> Path:
        if path.name == "fresh":
            raise problem
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fails)
    with pytest.raises(problem), atomic_folder(final):
        pass
    assert (final / "a.txt").read_text() == "before" and list(tmp_path.iterdir()) == [final]
