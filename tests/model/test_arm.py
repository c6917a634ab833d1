"""arm.py and the training scripts: every run is written, the same each time, side by side or one after the other."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROOT, call, run_stage, save_csr, write_params
from safetensors.torch import load_file
from scipy.sparse import csr_array, random_array

import train_dense
import train_sparse
from tagstudy.core.checksums import seal
from tagstudy.core.config import read_params
from tagstudy.core.paths import ARMS, SPLITS, arm_folders
from tagstudy.core.store import CsrMatrix
from tagstudy.model import network
from tagstudy.model.arm import make_jobs
from tagstudy.model.network import describe_network

POSTS, WORDS = 120, 60
# Test has 40, 50 and 30 posts, and valid as many as the next one's test.
PARTS = np.repeat(np.arange(3), [40, 50, 30])
FOLDS = np.stack([(fold - PARTS + 2) % 3 for fold in range(3)]).astype(np.int8)
TRAIN = {"epochs": 2, "min_steps": 1}


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return make_study(tmp_path)


def make_study(folder: Path) -> Path:
    """Posts with random words in three folds of unlike sizes, with features for both arms."""
    rng = np.random.default_rng(0)
    posts = folder / "data/posts"
    labels = rng.random((POSTS, 2)) < 0.5
    save_csr(posts / "labels", csr_array(labels.astype(np.uint8)), np.uint8)
    (posts / "tags.json").write_text('["a", "b"]')
    np.save(posts / "splits.npy", FOLDS)
    (posts / "summary.json").write_text('{"fingerprint": "these posts"}')
    for arm, features in ARMS.items():
        for fold in range(3):
            own = folder / f"data/features/{features}/fold-{fold}"
            words = WORDS + fold  # a vocabulary of its own
            rows = csr_array(random_array((POSTS, words), density=0.2, dtype=np.float32, rng=rng))
            save_csr(own / "matrix", rows)
            about = {"inputs": words, "csr": True, "embedding_dim": 30 if arm == "dense" else None}
            (own / "features.json").write_text(json.dumps(about))
    seal_all(folder)
    write_params(folder, train=TRAIN)
    return folder


def seal_all(study: Path) -> None:
    """As ingest and the featurize stages do."""
    seal(study / "data/posts")
    for features in ARMS.values():
        seal(study / f"data/features/{features}", study / "data/posts")


@contextmanager
def one_core() -> Iterator[None]:
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def written(study: Path, arm: str, done: subprocess.CompletedProcess) -> dict[str, bytes]:
    """What a training stage has written, but for seconds."""
    assert done.returncode == 0, done.stderr
    assert "parameters" in done.stdout and "trained 3 runs" in done.stdout
    assert "run 2, fold 2: best validation micro-F1" in done.stdout
    folders = [study / f"data/models/{arm}", study / f"data/predictions/{arm}"]
    paths = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(study)): path.read_bytes() for path in paths}


@pytest.mark.parametrize("arm", ARMS)
def test_a_training_script_writes_the_same_side_by_side_and_one_after_the_other(arm: str, study: Path) -> None:
    """On one core the runs are trained one after the other, here in this process."""
    side_by_side = written(study, arm, call(sys.executable, ROOT / f"src/train_{arm}.py", cwd=study))
    with one_core():
        alone = written(study, arm, run_stage({"dense": train_dense, "sparse": train_sparse}[arm], study))
    assert side_by_side == alone
    models = study / f"data/models/{arm}"
    assert sorted(path.name for path in models.iterdir()) == ["SHA256SUMS", "model.json", "run-0", "run-1", "run-2"]
    weights = [load_file(models / f"run-{run}/weights.safetensors")["first.weight"] for run in range(3)]
    assert [len(rows) for rows in weights] == [WORDS, WORDS + 1, WORDS + 2]
    history = pd.read_csv(models / "run-0/plots/metrics/valid_micro_f1.tsv", sep="\t")
    assert history["step"].tolist() == [0, 1, 2]
    assert not any(math.isnan(value) for value in history["valid_micro_f1"])
    model = json.loads((models / "model.json").read_text())
    assert model["tags"] == ["a", "b"] and model["posts"] == "these posts"
    assert [(run["fold"], run["seed"]) for run in model["runs"]] == [(0, 1717), (1, 1718), (2, 1719)]
    predictions = json.loads((study / f"data/predictions/{arm}/predictions.json").read_text())
    assert predictions == {name: model[name] for name in ("loss", "runs", "posts", "remedy")}
    for fold in range(3):
        for split in ("valid", "test"):
            scores = CsrMatrix(study / f"data/predictions/{arm}/run-{fold}/{split}")
            assert scores.shape == ((FOLDS[fold] == SPLITS.index(split)).sum(), 2) and np.isfinite(scores.data).all()


@pytest.mark.parametrize(
    ("runs", "folds", "expected"),
    [
        ("auto", 3, [(0, 7), (1, 8), (2, 9)]),
        ("auto", 1, [(0, 7), (0, 8), (0, 9)]),
        (2, 3, [(0, 7), (1, 8), (2, 9), (0, 10), (1, 11), (2, 12)]),
        (2, 1, [(0, 7), (0, 8)]),
    ],
)
def test_runs_go_through_the_folds_each_with_a_seed_of_its_own(
    runs: int | str, folds: int, expected: list[tuple[int, int]]
) -> None:
    settings = read_params(ROOT / "params.yaml").train.model_copy(update={"runs": runs, "seed": 7})
    jobs = make_jobs(settings, folds, arm_folders("dense"))
    assert [job.number for job in jobs] == list(range(len(expected)))
    assert [(job.fold, job.seed) for job in jobs] == expected


def test_runs_of_a_single_split_differ_by_their_seeds_and_the_same_seed_gives_the_same(study: Path) -> None:
    np.save(study / "data/posts/splits.npy", FOLDS[:1])
    seal_all(study)
    write_params(study, train=TRAIN | {"runs": 2})
    assert run_stage(train_sparse, study).returncode == 0
    weights = [load_file(study / f"data/models/sparse/run-{run}/weights.safetensors") for run in range(2)]
    assert not torch.equal(weights[0]["first.weight"], weights[1]["first.weight"])
    write_params(study, train=TRAIN | {"runs": 1, "seed": 1718})
    assert run_stage(train_sparse, study).returncode == 0
    [again] = (load_file(path) for path in (study / "data/models/sparse").rglob("weights.safetensors"))
    assert torch.equal(again["first.weight"], weights[1]["first.weight"])


def test_runs_that_end_at_the_same_moment_do_not_disturb_each_other(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a run it ends with dvclive, which looks whether a file of the whole repository is there, then removes it."""
    signal = study / ".dvc/tmp/exps/run/DVCLIVE_STEP_COMPLETED"
    removed = []

    def remove(path: str) -> None:
        Path(path).unlink()  # another run was faster
        removed.append(path)
        Path(path).unlink()

    monkeypatch.setenv("DVC_ROOT", str(study))
    monkeypatch.setattr("dvclive.vscode.os", SimpleNamespace(**vars(os) | {"remove": remove}))
    with one_core():
        assert "trained 3 runs" in run_stage(train_sparse, study).stdout
    assert removed == 3 * [str(signal)]


def test_runs_that_have_not_converged_are_counted_with_a_remedy(study: Path) -> None:
    """Without an epoch no run is better than the frequencies of the tags."""
    write_params(study, train=TRAIN | {"epochs": 0})
    done = run_stage(train_sparse, study)
    assert "3 of 3 runs have not converged: no better than tag frequencies; raise train.epochs" in done.stdout
    model = json.loads((study / "data/models/sparse/model.json").read_text())
    assert [run["problem"] for run in model["runs"]] == ["no better than tag frequencies"] * 3


def test_a_run_that_diverges_is_one_line_and_leaves_no_process(study: Path) -> None:
    write_params(study, train=TRAIN | {"lr": 1e30, "clip_value": None})
    done = call(sys.executable, ROOT / "src/train_sparse.py", cwd=study)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith("train_sparse: the loss is") and "epoch 1" in line
    assert not (study / "data/models/sparse").exists()


@pytest.mark.parametrize(
    ("features", "skip_terms"),
    [
        ({"inputs": 10, "csr": True, "embedding_dim": None}, None),
        ({"inputs": 11, "csr": True, "embedding_dim": None}, 10),  # 33 weights are too many
        ({"inputs": 11, "csr": True, "embedding_dim": 300}, None),  # the skip connection is behind the embedding
        ({"inputs": 384, "csr": False, "embedding_dim": None}, None),
    ],
)
def test_the_skip_connection_over_terms_is_bounded(
    features: dict, skip_terms: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "SKIP_WEIGHTS", 30)
    settings = read_params(ROOT / "params.yaml").train_sparse
    described = describe_network(settings, features, 3)
    assert described["skip_connection"] and described["skip_terms"] == skip_terms
    assert not describe_network(settings.model_copy(update={"skip_connection": False}), features, 3)["skip_connection"]
    assert not describe_network(settings.model_copy(update={"hidden": []}), features, 3)["skip_connection"]
