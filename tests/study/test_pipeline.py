"""The six stages together, as DVC runs them in a clone: nothing twice, the same bytes, experiments, whole outputs."""

import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml
from conftest import DVC, ROOT, call, git, run_stage, write_params

import evaluate
import featurize_dense
import featurize_tfidf
import ingest
import train_dense
import train_sparse

STAGES = (ingest, featurize_dense, featurize_tfidf, train_dense, train_sparse, evaluate)


def dvc(folder: Path, *command: str, cold: bool = False) -> str:
    done = call(*DVC, *command, cwd=folder, cold=cold)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def written(folder: Path) -> dict[str, bytes]:
    """Everything that the stages wrote, dvc.lock with it; not what they keep for when they are called again."""
    files = [path for top in ("data", "metrics", "plots") for path in (folder / top).rglob("*") if path.is_file()]
    found = {str(path.relative_to(folder)): path.read_bytes() for path in [*files, folder / "dvc.lock"]}
    return {name: content for name, content in found.items() if not name.startswith("data/unfinished/")}


def drawn(folder: Path) -> set[str]:
    """Names of the plots that DVC draws; the others are images."""
    plots = yaml.safe_load((folder / "dvc.yaml").read_text())["plots"]
    return {name for plot in plots if isinstance(plot, dict) for name in plot}


@pytest.fixture(scope="module")
def study(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pipeline") / "study"
    shutil.copytree(finished, folder)
    return folder


def test_metrics_and_plots_are_written(study: Path) -> None:
    metrics = json.loads((study / "metrics/metrics.json").read_text())
    for arm in ("dense", "sparse", "fusion"):
        assert 0.5 < metrics[arm]["micro_f1"] < 1
        assert 0 < metrics[arm]["macro_f1"] < 1
        assert 0 < metrics[arm]["hamming_loss"] < 0.2
    difference = metrics["difference"]
    assert difference["low"] < difference["micro_f1"] < difference["high"]
    assert difference["micro_f1"] == pytest.approx(
        metrics["dense"]["micro_f1"] - metrics["sparse"]["micro_f1"], abs=2e-4
    )
    runs = (study / "metrics/runs.csv").read_text().splitlines()
    assert {"macro_precision", "subset_accuracy", "lrap", "brier", "calibration_error_above_05"} < set(
        runs[0].split(",")
    )
    assert len(runs) == 1 + 3 * 3 + 3  # of both arms and the fusion each fold, and all of them together
    assert "test micro-F1" in (study / "metrics/verdict.txt").read_text()
    images = {path.name for path in (study / "plots/images").iterdir()}
    assert images == {path.name for path in (ROOT / "plots/images").iterdir()}


def test_a_second_repro_does_nothing(study: Path) -> None:
    before = written(study)
    assert "up to date" in dvc(study, "repro")
    assert written(study) == before
    assert call("git", "status", "--porcelain", cwd=study).stdout == ""


def test_stages_that_run_again_write_the_same_bytes(study: Path, tmp_path: Path) -> None:
    """All but seconds, and the picture that shows them. Here they run in one process, there each in one of its own."""
    folder = tmp_path / "study"
    for name in ("params.yaml", "data/sample/Posts.xml"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(study / name, folder / name)
    for stage in STAGES:
        done = run_stage(stage, folder)
        assert done.returncode == 0, done.stderr
    shutil.copy(study / "dvc.lock", folder)
    before, after = written(study), written(folder)
    timings = {"data/timings/dense.json", "data/timings/sparse.json", "metrics/timings.json", "plots/images/cost.png"}
    assert {name for name in before.keys() ^ after.keys() if not name.startswith("data/sample")} == set()
    assert {name for name in after if before[name] != after[name]} <= timings


def test_an_experiment_shows_beside_the_commit(study: Path) -> None:
    """What `exp run`, `exp show`, `metrics diff` and `plots diff` promise: both versions of everything."""
    before = json.loads((study / "metrics/metrics.json").read_text())
    said = dvc(study, "exp", "run", "-S", "+train_dense.epochs=1", "-S", "+train_dense.lr=1e-5")
    assert "Running stage 'train_dense'" in said and "Running stage 'train_sparse'" not in said
    assert yaml.safe_load((study / "params.yaml").read_text())["train_dense"]["epochs"] == 1
    table = dvc(study, "exp", "show", "--csv")
    assert "dense.micro_f1" in table and "train_dense.epochs" in table
    commit(study, "One epoch")
    after = json.loads((study / "metrics/metrics.json").read_text())
    change = json.loads(dvc(study, "metrics", "diff", "HEAD~1", "--json"))
    found = change["diff"]["metrics/metrics.json"] if "diff" in change else change["metrics/metrics.json"]
    assert found["dense.micro_f1"]["old"] == before["dense"]["micro_f1"]
    assert found["dense.micro_f1"]["new"] == after["dense"]["micro_f1"]
    plots = json.loads(dvc(study, "plots", "diff", "HEAD~1", "--json"))["data"]
    assert plots.keys() >= drawn(study)
    for name in drawn(study):
        assert {revision for plot in plots[name] for revision in plot["revisions"]} == {"HEAD~1", "workspace"}
    git(study, "checkout", "HEAD~1", "--", "params.yaml")
    again = dvc(study, "repro")
    for stage in ("featurize_dense", "featurize_tfidf", "train_dense", "train_sparse"):
        assert f"Running stage '{stage}'" not in again
    assert json.loads((study / "metrics/metrics.json").read_text()) == before
    commit(study, "Two epochs again")


def test_an_editor_finds_parameters_metrics_and_plots(study: Path) -> None:
    """What the VS Code extension for DVC asks for to fill its tables, its plots and its tree of files."""
    workspace, *commits = json.loads(dvc(study, "exp", "show", "-n", "3", "--json"))
    assert (
        commits
        and workspace["data"]["params"]["params.yaml"]["data"].keys()
        == yaml.safe_load((study / "params.yaml").read_text()).keys()
    )
    assert workspace["data"]["metrics"]["metrics/metrics.json"]["data"].keys() == {
        "dense",
        "sparse",
        "fusion",
        "difference",
    }
    status = json.loads(dvc(study, "data", "status", "--granular", "--unchanged", "--json"))
    assert "data/posts/posts.parquet" in status["unchanged"]
    assert not status.keys() & {"uncommitted", "not_in_cache"}
    plots = json.loads(dvc(study, "plots", "diff", "HEAD", "-o", ".dvc/tmp/plots", "--split", "--json"))
    assert plots.keys() == {"data"}  # no errors
    kinds = {name: {plot["type"] for plot in own} for name, own in plots["data"].items()}
    assert {name for name, own in kinds.items() if own == {"image"}} == {
        f"plots/images/{path.name}" for path in (study / "plots/images").iterdir()
    }
    assert {name for name, own in kinds.items() if own == {"vega"}} == drawn(study)
    for name in drawn(study):
        [plot] = plots["data"][name]  # what the editor fills in is named beside it
        assert set(re.findall(r"<DVC_\w+>", json.dumps(plot["content"]))) == plot["anchor_definitions"].keys()


def test_the_plainest_study_runs(clone: Path, tmp_path: Path) -> None:
    """A single split, one tag, no hidden layer, nothing trained, a fixed threshold, posts without any tag."""
    sample = str(clone / "data/sample/Posts.xml")
    write_params(
        tmp_path,
        ingest={"source": sample, "tags": 1, "min_tags": 0, "folds": 1},
        train={"runs": 2, "hidden": [], "epochs": 0},
        evaluate={"threshold": 0.5, "resamples": 100},
    )
    for stage in STAGES:
        done = run_stage(stage, tmp_path)
        assert done.returncode == 0, done.stderr
    runs = pd.read_csv(tmp_path / "metrics/runs.csv")
    assert set(runs["threshold"]) == {0.5}
    assert set(runs["arm"]) == {"dense", "sparse", "fusion"}  # a control would need two pairs of runs
    nothing = "arm was no better than tag frequencies"
    assert f"evaluate: Not comparable: the dense {nothing} and the sparse {nothing}; raise" in done.stdout


@pytest.mark.parametrize(
    ("override", "says"),
    [("ingest.source=data/none.csv", "data/none.csv"), ("ingest.tags=[javascript,pyton]", "python")],
)
def test_a_source_that_cannot_be_used_leaves_everything_in_place(study: Path, override: str, says: str) -> None:
    before = written(study)
    fail(study, override, says)
    assert written(study) == before
    git(study, "restore", "params.yaml")


def test_what_a_failed_training_had_written_before_is_in_the_cache(study: Path) -> None:
    """One that refuses its parameters, and one whose loss becomes NaN."""
    before = written(study)
    fail(study, "train.dropout=2", "train.dropout")
    git(study, "restore", "params.yaml")
    fail(study, "train.lr=1e30", "epoch 1, batch")
    git(study, "restore", ".")
    dvc(study, "checkout")
    assert written(study) == before


def commit(study: Path, message: str) -> None:
    git(study, "add", "--all")
    git(study, "commit", "--quiet", "--message", message)


def fail(study: Path, override: str, says: str) -> None:
    done = call(*DVC, "exp", "run", "-S", override, cwd=study)
    assert done.returncode != 0
    assert says in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
