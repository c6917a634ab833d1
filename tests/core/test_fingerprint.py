"""fingerprint.py: what was left is used where nothing that it stands on has changed."""

import shutil
from pathlib import Path

from tagstudy.core.fingerprint import LIBRARY, fingerprint
from tagstudy.model import arm


def test_facts_and_files_count(tmp_path: Path) -> None:
    (file := tmp_path / "a").write_text("1")
    first = fingerprint({"lr": 1}, code=[], files=[file])
    assert first == fingerprint({"lr": 1}, code=[], files=[file])
    assert first != fingerprint({"lr": 2}, code=[], files=[file])
    file.write_text("12")
    assert first != fingerprint({"lr": 1}, code=[], files=[file])


def test_code_counts_where_the_result_stands_on_it(tmp_path: Path) -> None:
    library = tmp_path / "tagstudy"
    shutil.copytree(LIBRARY, library)
    code = [library / folder.name for folder in arm.CODE]
    first = fingerprint(code=code, files=[])
    with (library / "evaluation/figures.py").open("a") as file:
        file.write("# another colour\n")
    assert fingerprint(code=code, files=[]) == first
    with (library / "model/mlp.py").open("a") as file:
        file.write("# another layer\n")
    assert fingerprint(code=code, files=[]) != first
