"""compare.py reads the predictions of experiments from DVC's cache, and compares all of them."""

import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from conftest import DVC, call


@pytest.fixture(scope="module")
def study(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study, and an experiment with another dense arm; the workspace is as it was."""
    folder = tmp_path_factory.mktemp("compare") / "study"
    shutil.copytree(finished, folder)
    changes = ("-S", "featurize_dense.embedding_dim=8", "-S", "evaluate.threshold=0.4")
    done = call(*DVC, "exp", "run", "--name", "narrow", *changes, cwd=folder)
    assert done.returncode == 0, done.stderr
    call("git", "restore", ".", cwd=folder)
    assert call(*DVC, "checkout", cwd=folder).returncode == 0
    return folder


def compare(study: Path, *arguments: str) -> tuple[int, str, str]:
    done = call(sys.executable, "src/compare.py", *arguments, cwd=study)
    return done.returncode, done.stdout, done.stderr


def test_the_workspace_and_its_experiments_are_compared(study: Path) -> None:
    status, out, err = compare(study)
    assert status == 0, err
    systems = pd.read_csv(study / "data/comparison/systems.csv")
    learned = ("learned (workspace)", "learned (narrow)")
    names = {"TF-IDF", *learned, *(f"TF-IDF + {name}" for name in learned)}
    assert set(systems["system"]) == names  # TF-IDF is the same in both, and shown once
    assert all(name in out for name in names)
    assert out.startswith("narrow: scored as the workspace is, not by its own evaluate.threshold=0.4, ")
    scores = pd.read_csv(study / "metrics/runs.csv").set_index(["arm", "run"])["micro_f1"]
    ranked = systems.set_index("system")["micro_f1"]
    for arm, name in (("dense", learned[0]), ("sparse", "TF-IDF"), ("fusion", f"TF-IDF + {learned[0]}")):
        assert ranked[name] == pytest.approx(scores[arm, "all"])
    pairs = pd.read_csv(study / "data/comparison/pairs.csv")
    assert len(pairs) == len(names) * (len(names) - 1) / 2
    difference = pd.read_csv(study / "metrics/comparison.csv")["difference"][0]
    arms = ["TF-IDF", learned[0]]
    found = pairs[pairs["one"].isin(arms) & pairs["other"].isin(arms)]
    assert abs(found["difference"].item()) == pytest.approx(abs(difference))
    assert (study / "data/comparison/systems.png").stat().st_size > 10_000


def test_experiments_can_be_named_and_the_table_be_markdown(study: Path) -> None:
    status, out, _ = compare(study, "narrow", "HEAD", "--metric", "hamming_loss", "--md")
    assert status == 0 and "\n| system | hamming_loss |" in out
    assert "learned (narrow)" in out and "learned (HEAD)" in out and "| learned |" not in out
    assert "learned (workspace)" in compare(study, "narrow", "workspace")[1]


def test_a_workspace_that_was_trained_without_dvc_is_one_line(study: Path, tmp_path: Path) -> None:
    """dvc.lock would tell of another embedding."""
    other = tmp_path / "study"
    shutil.copytree(study, other)
    params = yaml.safe_load((other / "params.yaml").read_text())
    params["featurize_dense"]["embedding_dim"] = 4
    (other / "params.yaml").write_text(yaml.safe_dump(params))
    for stage in ("featurize_dense", "train_dense", "evaluate"):
        assert call(sys.executable, f"src/{stage}.py", cwd=other).returncode == 0
    status, _, err = compare(other)
    assert (status, err) == (
        1,
        "compare: workspace: dvc.lock does not have what train_dense wrote last; run `dvc repro`\n",
    )


def test_no_folder_but_a_comparison_is_replaced(study: Path) -> None:
    status, _, err = compare(study, "--output", "data")
    assert (
        status == 1 and "data exists and is not a comparison; name another" in err and (study / "data/posts").exists()
    )


def test_what_cannot_be_compared_is_one_line(study: Path, tmp_path: Path) -> None:
    status, _, err = compare(study, "no-such-one")
    assert status == 1 and err.startswith("compare: no-such-one: no such experiment") and err.count("\n") == 1
    other = tmp_path / "study"
    shutil.copytree(study, other)
    params = yaml.safe_load((other / "params.yaml").read_text())
    params["ingest"]["seed"] = 1
    (other / "params.yaml").write_text(yaml.safe_dump(params))
    done = call(*DVC, "repro", "ingest", cwd=other)
    assert done.returncode == 0, done.stderr
    status, _, err = compare(other, "narrow")
    assert status == 1 and "narrow: was tested on other posts" in err and err.count("\n") == 1
    assert call(*DVC, "repro", cwd=other).returncode == 0
    status, out, err = compare(other)
    assert (status, err) == (0, "") and out.startswith("left out: narrow: was tested on other posts")
    shutil.rmtree(other / ".dvc/cache/files")
    call("git", "restore", ".", cwd=other)
    status, _, err = compare(other, "HEAD")
    assert status == 1 and "not in DVC's cache" in err and err.count("\n") == 1
