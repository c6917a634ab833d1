"""dvc.yaml against the code: DVC does not follow imports, so the stages have to name them."""

import ast
import json
import re
from collections import defaultdict
from pathlib import Path

import pytest
import yaml
from conftest import OUTPUTS, PARAMS, ROOT

PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
SRC = ROOT / "src"
# Imported where a network holds an encoder, which that of the sparse arm never does.
NEVER_THERE = defaultdict(set, train_sparse={"src/tagstudy/encoders"})
STAGES = list(OUTPUTS)


def imported(path: Path) -> set[Path]:
    """The files of src/ that a file of src/ imports, itself included, however deep."""
    found, waiting = set(), [path]
    while waiting:
        file = waiting.pop()
        if file in found:
            continue
        found.add(file)
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            if isinstance(node, ast.ImportFrom):
                names = [str(node.module), *(f"{node.module}.{name}" for name in names)]
            modules = (SRC / f"{name.replace('.', '/')}.py" for name in names if name.startswith("tagstudy."))
            waiting += filter(Path.exists, modules)
    return found


def test_the_stages_are_the_six() -> None:
    assert list(PIPELINE["stages"]) == STAGES
    assert all(stage["desc"] for stage in PIPELINE["stages"].values())


@pytest.mark.parametrize("stage", STAGES)
def test_deps_are_what_the_stage_imports(stage: str) -> None:
    deps = {dep for dep in PIPELINE["stages"][stage]["deps"] if dep.startswith("src/tagstudy")}
    files = imported(SRC / f"{stage}.py") - {SRC / f"{stage}.py"}
    assert deps | NEVER_THERE[stage] == {str(file.parent.relative_to(ROOT)) for file in files} | NEVER_THERE[stage]


def test_every_section_of_params_belongs_to_a_stage() -> None:
    """But who does the work, which changes no result, to none."""
    named = {str(name) for stage in PIPELINE["stages"].values() for name in stage["params"]}
    assert {name.split(".")[0] for name in named} == set(PARAMS)
    assert {name for name in named if name.startswith("compute")} == {"compute.instructions"}


def test_the_launcher_starts_the_training_stages_alone() -> None:
    """Where it is another one DVC runs them again, as their commands are others."""
    launchers = {name: stage["cmd"].removesuffix(f" src/{name}.py") for name, stage in PIPELINE["stages"].items()}
    assert PARAMS["compute"]["launcher"] == "python"
    assert launchers == dict.fromkeys(STAGES, "python") | dict.fromkeys(
        ("train_dense", "train_sparse"), "${compute.launcher}"
    )


def test_features_and_models_come_from_the_run_cache() -> None:
    """One output with `cache: false` or `persist` turns it off: going back to earlier parameters would train again."""
    for stage in STAGES[1:-1]:
        assert all(isinstance(out, str) for out in PIPELINE["stages"][stage]["outs"])


@pytest.mark.parametrize(
    "plot", [plot for plot in PIPELINE["plots"] if isinstance(plot, dict)], ids=lambda plot: next(iter(plot))
)
def test_plots_name_columns_that_the_committed_files_have(plot: dict) -> None:
    [options] = plot.values()
    assert "template" not in options or (ROOT / f".dvc/plots/{options['template']}.json").exists()
    for axis in ("x", "y"):
        files = options[axis] if isinstance(options[axis], dict) else dict.fromkeys(options["y"], options[axis])
        for file, columns in files.items():
            header = (ROOT / file).read_text(encoding="utf-8").splitlines()[0].split(",")
            assert ({columns} if isinstance(columns, str) else set(columns)) <= set(header)


def test_the_page_of_plots_takes_the_versions_of_vega_that_the_docs_install() -> None:
    page, docs = (
        (ROOT / path).read_text(encoding="utf-8") for path in (".dvc/plots/page.html", "docs/troubleshooting.md")
    )
    version = r"vega[a-z-]*@[\d.]+"
    assert re.findall(version, page) == re.findall(version, docs) != []


def test_committed_metrics_are_headline_numbers() -> None:
    metrics = json.loads((ROOT / "metrics/metrics.json").read_text(encoding="utf-8"))
    assert set(metrics) == {"dense", "sparse", "fusion", "difference"}
    assert metrics["dense"].keys() == metrics["sparse"].keys() == metrics["fusion"].keys()
