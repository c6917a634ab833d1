"""How much training is enough? Micro-F1 on valid by the number of steps, on real corpora cut to many sizes.

`python benchmarks/budget.py --data FOLDER` trains both arms on six corpora cut to 100, 200, ... train posts, with each
budget, and writes every run's validation curve to benchmarks/budget.csv. It prints the change in micro-F1 from the
default budget, mean over corpora and runs.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import pandas as pd

from bench import CORPORA, SMALL, prepare
from common import ROOT, arguments, update
from ours import Arm
from tagstudy.core.config import Train, read_params
from tagstudy.core.paths import ARMS
from tagstudy.model.convergence import Budget
from tagstudy.model.training import fit

SIZES = (100, 200, 500, 1000, 2000, 5000, 30000)
STEPS = (1, 125, 250, 500, 1000)  # min_steps: 1 is ten epochs, as in the first edition
SEEDS = 2
TABLE = ROOT / "benchmarks/budget.csv"
KEYS: dict[str, list] = {
    "corpus": list(CORPORA | SMALL),
    "posts": list(SIZES),
    "arm": list(ARMS),
    "min_steps": list(STEPS),
}


class Curve:
    """A log that keeps micro-F1 on valid after each epoch."""

    def __init__(self) -> None:
        self.history: list[dict[str, float]] = [{}]

    def log_metric(self, name: str, value: float) -> None:
        self.history[-1][name] = value

    def next_step(self) -> None:
        self.history.append({})


def main() -> None:
    options = arguments(
        __doc__,
        corpora={"nargs": "*", "choices": CORPORA | SMALL, "default": list(CORPORA | SMALL)},
        sizes={"nargs": "*", "type": int, "choices": SIZES, "default": list(SIZES)},
        steps={"nargs": "*", "type": int, "choices": STEPS, "default": list(STEPS)},
    )
    for corpus in options.corpora:
        for size in options.sizes:
            with contextlib.chdir(prepare(corpus, options.data, ingest={"max_train": size, "folds": 1})):
                arms = {name: Arm(name) for name in ("dense", "sparse")}
                if len(arms["dense"].posts["train"]) < size:
                    break  # the corpus has no more
                rows = [
                    {"corpus": corpus, "posts": size, "arm": name, "min_steps": steps, **row}
                    for name, arm in arms.items()
                    for steps in different(options.steps, size, arm.settings)
                    for row in train(arm, steps)
                ]
            update(TABLE, pd.DataFrame(rows), KEYS)
    print(changes(pd.read_csv(TABLE)).round(4).to_string())


def changes(table: pd.DataFrame) -> pd.DataFrame:
    """Micro-F1 on valid by min_steps, minus that of the default; a row for each number of posts and arm.

    A budget that was not trained equals the next smaller one: many posts need more steps than min_steps.
    """
    default = read_params(ROOT / "params.yaml").train.min_steps
    means = table.pivot_table(index=["corpus", "posts", "arm"], columns="min_steps", values="valid_micro_f1").ffill(
        axis=1
    )
    return means.sub(means[default], axis="index").groupby(["posts", "arm"]).mean()


def different(steps: list[int], posts: int, settings: Train) -> list[int]:
    """Those that give different budgets; with many posts all have more steps."""
    budgets = {Budget.of(posts, settings.model_copy(update={"min_steps": least})): least for least in reversed(steps)}
    return list(budgets.values())[::-1]


def train(arm: Arm, steps: int) -> Iterator[dict[str, Any]]:
    """A row for each seed: the best epoch, its micro-F1 on valid, and the whole curve."""
    settings = arm.settings.model_copy(update={"min_steps": steps})
    for run in range(SEEDS):
        curve = Curve()
        best = fit(arm.untrained(settings.seed + run), arm.posts["train"], arm.posts["valid"], settings, run, curve)
        history = [f"{scores['valid_micro_f1']:.4f}" for scores in curve.history if scores]
        losses = [f"{scores['train_loss']:.3f}" for scores in curve.history if scores]
        yield {
            "run": run,
            "best_epoch": best.epoch,
            "valid_micro_f1": round(best.micro_f1, 4),
            "curve": " ".join(history),
            "train_losses": " ".join(losses),
        }


if __name__ == "__main__":
    main()
