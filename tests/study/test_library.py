"""The library: README's example tags texts with a trained study from anywhere, and its folders build on one another."""

import ast
import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from conftest import ENVIRONMENT, ROOT, call

SRC = ROOT / "src"
LIBRARY = SRC / "tagstudy"
FILES = sorted(SRC.rglob("*.py"))
# What each folder of the library imports from. Each stands below those that it imports from: no arrow goes up.
IMPORTS = {
    "core": set(),
    "data": {"core"},
    "encoders": {"core"},
    "features": {"core", "data", "encoders"},
    "predictions": {"core"},
    "model": {"core", "encoders", "predictions"},
    "evaluation": {"core", "data", "predictions"},
    "inference": {"core", "data", "encoders", "evaluation", "features", "model", "predictions"},
    "serving": {"core", "data", "inference"},
}
MAX_LINES, MAX_FUNCTION = 300, 50


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path: Path) -> set[Path]:
    """The files of the library that a file imports, where a function imports them, too."""
    modules = set()
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            modules |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
    paths = {SRC / f"{module.replace('.', '/')}.py" for module in modules if module.startswith("tagstudy.")}
    packages = {SRC / module.replace(".", "/") / "__init__.py" for module in modules if module.startswith("tagstudy.")}
    return {file for file in paths | packages if file.exists()}


def test_the_example_of_the_readme_tags_texts_as_predict_does(finished: Path, tmp_path: Path) -> None:
    [example] = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)
    [posts] = [ast.literal_eval(node) for node in ast.walk(ast.parse(example)) if isinstance(node, ast.List)]
    program = example.replace("path/to/study", str(finished))
    assert program != example
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=ENVIRONMENT | {"PYTHONPATH": str(SRC)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    printed = [ast.literal_eval(line) for line in done.stdout.splitlines()]

    rows = (dict(zip(("title", "body"), post.split("\n"), strict=False)) for post in posts)
    (tmp_path / "posts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    done = call(sys.executable, "src/predict.py", "--json", "--file", tmp_path / "posts.jsonl", cwd=finished)
    assert done.returncode == 0, done.stderr
    predicted = [json.loads(line) for line in done.stdout.splitlines()]
    assert printed == [dict(zip(row["fusion_tags"], row["fusion_scores"], strict=True)) for row in predicted]
    assert any(printed)


def test_folders_import_only_from_those_below_them() -> None:
    TopologicalSorter(IMPORTS).prepare()  # raises for a circle
    found = defaultdict(set)
    for folder in IMPORTS:
        for file in (LIBRARY / folder).glob("*.py"):
            found[folder] |= {other.parent.name for other in imported(file)} - {folder}
    assert found == IMPORTS


def test_no_module_imports_itself_by_way_of_others() -> None:
    TopologicalSorter({file: imported(file) for file in FILES}).prepare()  # raises for a circle


def test_every_folder_says_its_purpose_in_a_sentence() -> None:
    assert {path.parent.name for path in LIBRARY.glob("*/__init__.py")} == IMPORTS.keys()
    for folder in IMPORTS:
        purpose = ast.get_docstring(parse(LIBRARY / folder / "__init__.py")) or ""
        assert re.fullmatch(r"[A-Z][^.\n]*\.", purpose), folder


@pytest.mark.parametrize("file", FILES, ids=lambda file: os.fspath(file.relative_to(SRC)))
def test_files_and_functions_are_short(file: Path) -> None:
    assert len(file.read_text(encoding="utf-8").splitlines()) <= MAX_LINES
    functions = [node for node in ast.walk(parse(file)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    too_long = {node.name for node in functions if (node.end_lineno or 0) - node.lineno >= MAX_FUNCTION}
    assert not too_long
