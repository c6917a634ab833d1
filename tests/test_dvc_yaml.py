"""dvc.yaml against the code: DVC does not follow imports, so the stages have to name them."""

import ast
import json

import pytest
import yaml
from conftest import PARAMS, ROOT

PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
STAGES = ["ingest", "featurize_dense", "featurize_tfidf", "train_dense", "train_sparse", "evaluate"]


def imported(module: str) -> set[str]:
    """The modules of src/ that a module of src/ imports, itself included, however deep."""
    found, waiting = set(), [module]
    while waiting:
        name = waiting.pop()
        if name in found or not (ROOT / f"src/{name}.py").exists():
            continue
        found.add(name)
        for node in ast.walk(ast.parse((ROOT / f"src/{name}.py").read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                waiting += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                waiting.append(str(node.module))
    return found


def test_the_stages_are_the_six() -> None:
    assert list(PIPELINE["stages"]) == STAGES
    assert all(stage["desc"] for stage in PIPELINE["stages"].values())


@pytest.mark.parametrize("stage", STAGES)
def test_deps_are_what_the_stage_imports(stage: str) -> None:
    deps = {dep for dep in PIPELINE["stages"][stage]["deps"] if dep.startswith("src/")}
    assert deps == {f"src/{name}.py" for name in imported(stage)}


def test_every_section_of_params_belongs_to_a_stage() -> None:
    named = {str(name).split(".")[0] for stage in PIPELINE["stages"].values() for name in stage["params"]}
    assert named == set(PARAMS)


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


def test_committed_metrics_are_headline_numbers() -> None:
    metrics = json.loads((ROOT / "metrics/metrics.json").read_text(encoding="utf-8"))
    assert set(metrics) == {"dense", "sparse", "fusion", "difference"}
    assert metrics["dense"].keys() == metrics["sparse"].keys() == metrics["fusion"].keys()
