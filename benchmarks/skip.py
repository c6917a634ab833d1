"""How to bound the sparse arm's skip connection, where a weight for each term and tag is too many? Micro-F1 on valid.

`python benchmarks/skip.py --data FOLDER` trains the arm with a full skip connection, with one over the most frequent
terms alone, with one of low rank and with none, on so_titles with 100 tags and on biology with all its tags. It prints
the means over two seeds and writes every run to benchmarks/skip.csv.
"""

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import pandas as pd
from torch import Tensor, nn

from bench import prepare
from common import ROOT, arguments, update
from ours import Arm
from tagstudy.model.embedding import CsrEmbedding
from tagstudy.model.mlp import MLP
from tagstudy.model.training import fit

CORPORA: dict[str, tuple[str, dict]] = {  # a name; the corpus of bench.py and what changes in the section ingest
    "so_titles, 100 tags": ("so_titles, 100 tags", {}),
    "biology, all tags": ("biology, 50 tags", {"tags": 1000, "min_tags": 1}),
}
FRACTIONS = (2, 4, 8)  # of the terms one in so many has weights
SKIPS = ["full", *(f"terms / {n}" for n in FRACTIONS), *(f"as many weights as terms / {n}" for n in FRACTIONS), "off"]
SEEDS = 2
TABLE = ROOT / "benchmarks/skip.csv"


class LowRank(MLP):
    """The network with a skip connection of two factors: terms × rank and rank × tags."""

    narrow: CsrEmbedding
    wide: nn.Linear

    @classmethod
    def of(cls, model: MLP, inputs: int, rank: int, tags: int) -> "LowRank":
        """The same network, without a skip connection, with this one."""
        model.__class__ = cls
        assert isinstance(model, LowRank)
        model.narrow, model.wide = CsrEmbedding(inputs, rank), nn.Linear(rank, tags, bias=False)
        nn.init.zeros_(model.wide.weight)
        return model

    def forward(self, *features: Tensor, mix: tuple[float, Tensor] | None = None) -> Tensor:
        assert mix is None  # the sparse arm mixes no posts
        return super().forward(*features, mix=mix) + self.wide(self.narrow(*features))

    @property
    def embedding_matrices(self) -> list[Tensor]:
        return [*super().embedding_matrices, self.narrow.weight]


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
    """A row for each way and seed."""
    terms, tags = arm.network["inputs"], arm.network["outputs"]
    for skip in SKIPS:
        for seed in range(arm.settings.seed, arm.settings.seed + SEEDS):
            model = untrained(arm, skip, seed)
            start = time.perf_counter()
            best = fit(model, arm.posts["train"], arm.posts["valid"], arm.settings, seed)
            row = {"terms": terms, "tags": tags, "skip": skip, "seed": seed}
            row |= {"valid_micro_f1": round(best.micro_f1, 4), "epoch": best.epoch}
            row |= {"parameters": model.parameter_count(), "seconds": round(time.perf_counter() - start, 1)}
            print(row, flush=True)
            yield row


def untrained(arm: Arm, skip: str, seed: int) -> MLP:
    """The network with one of SKIPS."""
    terms, tags = arm.network["inputs"], arm.network["outputs"]
    way, _, divisor = skip.partition(" / ")
    if way == "full":
        return arm.untrained(seed)
    if way == "terms":
        return arm.untrained(seed, skip_terms=terms // int(divisor))
    model = arm.untrained(seed, skip_connection=False)
    if way == "off":
        return model
    return LowRank.of(model, terms, terms // int(divisor) * tags // (terms + tags), tags)


if __name__ == "__main__":
    main()
