"""How wide should the sparse arm's skip connection be? Micro-F1 on valid by its rank, on many terms and tags.

`python benchmarks/skip.py --data FOLDER` trains the arm with a full skip connection (a weight for each term and tag),
with low-rank ones and with none, on so_titles with 100 tags and on biology with all its tags. It prints the means over
two seeds and writes every run to benchmarks/skip.csv. A rank is below the number of tags.
"""

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import pandas as pd

from compare import prepare
from dumps import ROOT, arguments, update
from ours import Arm
from tagstudy.model.training import fit

CORPORA: dict[str, tuple[str, dict]] = {  # a name; the corpus of compare.py and what changes in the section ingest
    "so_titles, 100 tags": ("so_titles, 100 tags", {}),
    "biology, all tags": ("biology, 50 tags", {"tags": 1000, "min_tags": 1}),
}
RANKS = (512, 256, 128, 64, 32)
SKIPS = ["full", *map(str, RANKS), "off"]
SEEDS = 2
TABLE = ROOT / "benchmarks/skip.csv"


class NoLog:
    """Logs nothing."""

    def log_metric(self, name: str, value: float) -> None: ...

    def next_step(self) -> None: ...


def main() -> None:
    options = arguments(__doc__, corpora={"nargs": "*", "choices": CORPORA, "default": list(CORPORA)})
    for name in options.corpora:
        corpus, ingest = CORPORA[name]
        with contextlib.chdir(prepare(corpus, options.data, ingest=ingest)):
            rows = pd.DataFrame({"corpus": name, **row} for row in train(Arm("sparse")))
        update(TABLE, rows, {"corpus": list(CORPORA), "skip": SKIPS})
    table = pd.read_csv(TABLE)
    means = table.groupby(["corpus", "terms", "tags", "skip", "parameters"], sort=False)[["valid_micro_f1", "seconds"]]
    print(means.mean().round({"valid_micro_f1": 4, "seconds": 1}).reset_index().to_string(index=False))


def train(arm: Arm) -> Iterator[dict[str, Any]]:
    """A row for each width and seed."""
    tags = arm.network["outputs"]
    widths = {"full": tags, **{str(rank): rank for rank in RANKS if rank < tags}, "off": None}
    for skip, width in widths.items():
        for seed in range(arm.settings.seed, arm.settings.seed + SEEDS):
            model = arm.untrained(seed, skip=width)
            start = time.perf_counter()
            best = fit(model, arm.posts["train"], arm.posts["valid"], arm.settings, seed, NoLog())
            seconds = time.perf_counter() - start
            row = {"terms": arm.network["inputs"], "tags": tags, "skip": skip, "seed": seed}
            row |= {"valid_micro_f1": round(best.micro_f1, 4), "epoch": best.epoch}
            row |= {"parameters": model.parameter_count(), "seconds": round(seconds, 1)}
            print(row, flush=True)
            yield row


if __name__ == "__main__":
    main()
