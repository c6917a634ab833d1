"""dvc.yaml against the code: DVC does not follow imports, so the stages have to name them."""

import ast
import json
import re
from collections import defaultdict
from contextlib import chdir
from pathlib import Path

import pytest
import yaml
from conftest import OUTPUTS, PARAMS, ROOT

from tagstudy.core.repository import changed_stages

PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
SRC = ROOT / "src"
# Imported where a network holds an encoder, which that of the sparse arm never does.
NEVER_THERE = defaultdict(set, train_sparse={"src/tagstudy/encoders"})
STAGES = list(OUTPUTS)
OF_DVC = {"dvc_inferred_y_value", "dvc_data_version_info", "filename", "field"}  # what DVC adds to a row


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


def test_each_stage_names_the_parameters_that_it_reads() -> None:
    """Who does the work changes no result, and is named by none."""
    read = {
        "ingest": {"ingest"},
        "featurize_dense": {"featurize_dense", "train.device"},
        "featurize_tfidf": {"featurize_tfidf"},
        "train_dense": {"train", "train_dense", "featurize_dense.embedding"},
        "train_sparse": {"train", "train_sparse"},
        "evaluate": {"evaluate"},
    }
    named = {stage: set(about["params"]) for stage, about in PIPELINE["stages"].items()}
    assert named.pop("ingest") == read.pop("ingest")  # which computes nothing
    assert named == {stage: names | {"compute.instructions"} for stage, names in read.items()}
    assert {name.split(".")[0] for names in named.values() for name in names} == set(PARAMS) - {"ingest"}


def test_the_committed_results_are_those_of_the_committed_code() -> None:
    """Where this fails, `dvc repro` makes them."""
    with chdir(ROOT):
        stages = changed_stages()
    changes = [change for of_stage in stages.values() for change in of_stage if isinstance(change, dict)]
    paths = {path for change in changes for changed in change.values() for path in changed}
    assert not {path for path in paths if path.startswith(("src", "params.yaml", "data/sample", "metrics", "plots"))}


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
    needed = set()
    if "template" in options:
        template = (ROOT / f".dvc/plots/{options['template']}.json").read_text(encoding="utf-8")
        needed = set(re.findall(r'"field": "(\w+)"|datum\.(\w+)', template))
        needed = {name for pair in needed for name in pair if name} - set(re.findall(r'"as": "(\w+)"', template))
    for axis in ("x", "y"):
        files = options[axis] if isinstance(options[axis], dict) else dict.fromkeys(options["y"], options[axis])
        for file, columns in files.items():
            header = (ROOT / file).read_text(encoding="utf-8").splitlines()[0].split(",")
            assert ({columns} if isinstance(columns, str) else set(columns)) <= set(header)
            assert needed - {"rev"} - OF_DVC <= set(header)


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
