"""tune.py: the search sees no test post, gives both arms the same budget, and its result is an experiment."""

import shutil
import sys
from pathlib import Path

import pytest
import yaml
from conftest import DVC, ROOT, call

import tune
from tagstudy.core.config import read_params
from tagstudy.core.corpus import Corpus
from tagstudy.core.paths import ARMS

SLOW = {"lr": 1e-7, "embedding_lr": 1e-7}  # with these learning rates nothing is learned: any trial is better


@pytest.mark.parametrize("arm", ARMS)
def test_the_best_trial_wins_and_no_test_post_is_read(
    finished: Path, arm: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    read: set[str] = set()
    rows = Corpus.rows
    monkeypatch.setattr(Corpus, "rows", lambda corpus, split, fold: read.add(split) or rows(corpus, split, fold))
    monkeypatch.chdir(finished)
    settings = getattr(read_params(), f"train_{arm}").model_copy(update=SLOW)
    first = tune.valid_micro_f1(arm, 0, settings)
    assert read == {"train", "valid"}
    trials = tune.search(arm, settings, range(1), trials=3)
    assert trials[0] == ({}, first)
    best = max(trials, key=lambda trial: trial.micro_f1)
    assert tune.valid_micro_f1(arm, 0, settings.model_copy(update=best.changes)) == best.micro_f1 > first
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and f"trial 1 of 3: micro-F1 on valid {first:.4f}" in lines[0]


def test_without_optuna_it_says_what_to_install() -> None:
    program = "import runpy, sys; sys.modules['optuna'] = None; runpy.run_path('src/tune.py', run_name='__main__')"
    done = call(sys.executable, "-c", program, cwd=ROOT, cold=True)
    assert (done.returncode, done.stderr) == (
        1,
        "tune: src/tune.py needs optuna, which is not installed; run pip install -r requirements-tune.txt\n",
    )


@pytest.mark.slow
def test_what_is_found_is_an_experiment(finished: Path, tmp_path: Path) -> None:
    study = tmp_path / "study"
    shutil.copytree(finished, study)
    params = yaml.safe_load((study / "params.yaml").read_text(encoding="utf-8"))
    params["train"].update(SLOW)
    (study / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    done = call(sys.executable, "src/tune.py", "--trials", "3", "--folds", "1", cwd=study)
    assert done.returncode == 0, done.stderr
    assert "dvc exp run -S ++train_dense.learned.lr=" in done.stdout
    found = yaml.safe_load((study / "params.yaml").read_text(encoding="utf-8"))
    assert found["train_sparse"]["embedding_lr"] > SLOW["embedding_lr"]
    assert len(call(*DVC, "exp", "list", "--name-only", cwd=study).stdout.split()) == 1
