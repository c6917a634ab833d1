"""arm.py and the training scripts: every run is written, the same each time, side by side or one after the other."""

import json
import math
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROOT, call, save_csr, write_params
from safetensors.torch import load_file
from scipy.sparse import csr_array, random_array

from tagstudy.core.config import read_params
from tagstudy.core.paths import ARMS
from tagstudy.core.store import CsrMatrix
from tagstudy.model import network
from tagstudy.model.network import describe_network

POSTS, WORDS = 120, 60
ALONE = "import os, runpy, sys; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); "
ALONE += "sys.argv = sys.argv[1:]; sys.path.insert(0, os.path.dirname(sys.argv[0])); "
ALONE += "runpy.run_path(sys.argv[0], run_name='__main__')"


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Posts with random words, with features for both arms."""
    rng = np.random.default_rng(0)
    posts = tmp_path / "data/posts"
    labels = rng.random((POSTS, 2)) < 0.5
    save_csr(posts / "labels", csr_array(labels.astype(np.uint8)), np.uint8)
    (posts / "tags.json").write_text('["a", "b"]')
    np.save(posts / "split.npy", np.repeat(np.arange(3, dtype=np.int8), POSTS // 3))
    for arm, features in ARMS.items():
        rows = csr_array(random_array((POSTS, WORDS), density=0.2, dtype=np.float32, rng=rng))
        save_csr(tmp_path / f"data/features/{features}/matrix", rows)
        about = {"inputs": WORDS, "csr": True, "embedding_dim": 30 if arm == "dense" else None}
        (tmp_path / f"data/features/{features}/features.json").write_text(json.dumps(about))
    write_params(tmp_path, train={"runs": 3, "epochs": 2})
    return tmp_path


def train(study: Path, arm: str, *before: str) -> dict[str, bytes]:
    """What a training script writes, but for seconds."""
    done = call(sys.executable, *before, ROOT / f"src/train_{arm}.py", cwd=study)
    assert done.returncode == 0, done.stderr
    assert "parameters" in done.stdout and "trained 3 times" in done.stdout
    folders = [study / f"data/models/{arm}", study / f"data/predictions/{arm}"]
    paths = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(study)): path.read_bytes() for path in paths}


@pytest.mark.parametrize("arm", ARMS)
def test_a_training_script_writes_the_same_side_by_side_and_one_after_the_other(arm: str, study: Path) -> None:
    """On one core the runs are trained one after the other."""
    assert train(study, arm) == train(study, arm, "-c", ALONE)
    models = study / f"data/models/{arm}"
    weights = [load_file(models / f"run-{seed}/weights.safetensors")["first.weight"] for seed in (1717, 1718, 1719)]
    assert not torch.equal(weights[0], weights[1]) and not torch.equal(weights[1], weights[2])
    history = pd.read_csv(models / "run-1717/plots/metrics/valid_micro_f1.tsv", sep="\t")
    assert history["step"].tolist() == [0, 1, 2]
    assert not any(math.isnan(value) for value in history["valid_micro_f1"])
    model = json.loads((models / "model.json").read_text())
    assert model["tags"] == ["a", "b"] and model["seeds"] == [1717, 1718, 1719]
    for split in ("valid", "test"):
        scores = CsrMatrix(study / f"data/predictions/{arm}/run-1718/{split}")
        assert scores.shape == (POSTS // 3, 2) and np.isfinite(scores.data).all()


def test_a_run_that_diverges_is_one_line_and_leaves_no_process(study: Path) -> None:
    write_params(study, train={"runs": 3, "epochs": 2, "lr": 1e30, "clip_value": None})
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
