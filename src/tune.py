"""Search for training parameters that suit your posts, with the same budget in both arms; run the study with the best.

    python src/tune.py                 30 trials for each arm, on two folds
    python src/tune.py --trials 100 --folds 5

A trial trains on each fold's train posts and is scored by micro-F1 on its valid posts; test posts are not read, but of
several folds, one's valid posts are another's test posts. The first trial has the parameters in force, Optuna's TPE
sampler chooses the others. The best become an experiment of DVC's.
"""

import argparse
import shlex
import subprocess
import sys
from itertools import repeat
from typing import Any, NamedTuple

import tagstudy.core.processor  # noqa: F401 - before numpy and torch

# isort: split
from tagstudy.core.config import Train, read_params
from tagstudy.core.corpus import Corpus
from tagstudy.core.device import choose_device
from tagstudy.core.errors import UserError, needs, user_errors
from tagstudy.core.paths import ARMS, POSTS, arm_folders
from tagstudy.core.printing import print_visible
from tagstudy.core.processes import worker_pool
from tagstudy.model.arm import runs_at_once, untrained
from tagstudy.model.training import fit

with user_errors("tune"), needs("tune", "src/tune.py"):
    import optuna

GAIN = 0.001  # in micro-F1 on valid: with less, the parameters in force stay


def main() -> None:
    options = arguments()
    dvc("repro", "featurize_dense", "featurize_tfidf")
    params = read_params()
    folds = range(min(options.folds, Corpus(POSTS).folds))
    changes = []
    for arm in ARMS:
        trials = search(arm, getattr(params, f"train_{arm}"), folds, options.trials)
        best = max(trials, key=lambda trial: trial.micro_f1)
        gain = best.micro_f1 - trials[0].micro_f1
        print_visible(f"tune: {arm}: the best trial gains {gain:.4f}" + "; too little for a change" * (gain < GAIN))
        if gain >= GAIN:
            section = "train_sparse" if arm == "sparse" else f"train_dense.{params.featurize_dense.embedding}"
            changes += [f"++{section}.{name}={value}" for name, value in best.changes.items()]
    if not changes:
        return print_visible("tune: the parameters in force stay")
    dvc("exp", "run", *(part for change in changes for part in ("-S", change)))


class Trial(NamedTuple):
    changes: dict[str, Any]  # to the parameters in force
    micro_f1: float  # on valid, mean over folds


def search(arm: str, settings: Train, folds: range, trials: int) -> list[Trial]:
    """All trials; the first changes nothing."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=settings.seed))
    workers = min(len(folds), runs_at_once(settings, arm_folders(arm).features))
    fork = choose_device(settings.device).type == "cpu"
    tried: list[Trial] = []
    for number in range(trials):
        trial = study.ask()
        changes = suggest(trial) if number else {}
        changed = settings.model_copy(update=changes)
        try:
            with worker_pool(workers, fork) as pool:
                score = sum(pool.map(valid_micro_f1, repeat(arm), folds, repeat(changed))) / len(folds)
        except UserError:  # a loss that is NaN, a killed worker; with the parameters in force it ends the search
            if number == 0:
                raise
            score = 0.0
        study.tell(trial, score)
        tried.append(Trial(changes, score))
        best = max(trial.micro_f1 for trial in tried)
        print_visible(f"tune: {arm}, trial {number + 1} of {trials}: micro-F1 on valid {score:.4f}, best {best:.4f}")
    return tried


def suggest(trial: optuna.Trial) -> dict[str, Any]:
    """Values from the same ranges for both arms; without an embedding matrix, embedding_lr has no effect."""
    return {
        "lr": float(f"{trial.suggest_float('lr', 0.0003, 0.01, log=True):.2g}"),
        "embedding_lr": float(f"{trial.suggest_float('embedding_lr', 0.01, 0.5, log=True):.2g}"),
        "dropout": round(trial.suggest_float("dropout", 0, 0.7), 2),
        "word_dropout": round(trial.suggest_float("word_dropout", 0, 0.5), 2),
        "batch_norm": trial.suggest_categorical("batch_norm", [False, True]),
    }


def valid_micro_f1(arm: str, fold: int, settings: Train) -> float:
    """Train on a fold's train posts; micro-F1 on its valid posts in the best epoch."""
    seed = settings.seed + fold
    model, _, (train, valid) = untrained(settings, arm_folders(arm), fold, seed, splits=("train", "valid"))
    return fit(model, train, valid, settings, seed).micro_f1


def dvc(*command: str) -> None:
    """Print and run a command of DVC's; if it fails, end with its status: it has said why."""
    print_visible(shlex.join(["dvc", *command]))
    if status := subprocess.run([sys.executable, "-m", "dvc", *command]).returncode:
        sys.exit(status)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=30, help="trials for each arm (30)")
    parser.add_argument("--folds", type=int, default=2, help="folds that each trial trains on (2)")
    options = parser.parse_args()
    if min(options.trials, options.folds) < 1:
        parser.error("--trials and --folds are at least 1")
    return options


if __name__ == "__main__":
    with user_errors("tune"):
        main()
