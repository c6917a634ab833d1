"""files.py: JSON has one layout, and a file appears as a whole."""

import json
from pathlib import Path

import pytest

from tagstudy.core.files import atomic_file, write_json


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
    assert not final.exists()
    with atomic_file(final) as path:
        path.write_text("whole")
        assert not final.exists()
    assert final.read_text() == "whole"
