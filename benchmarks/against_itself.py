"""How often does the verdict name a winner where there is none? The sparse arm against itself, on real posts.

`python benchmarks/against_itself.py --data FOLDER` trains it a hundred times on so_titles with ten tags, draws two
different fives of these runs again and again, and compares them as evaluate compares the arms: one in twenty may name a
winner.
"""

import contextlib
from pathlib import Path

import numpy as np

from compare import prepare
from dumps import arguments
from ours import train  # isort: split

from tagstudy.core.files import read_json
from tagstudy.core.store import read_labels
from tagstudy.evaluation.comparison import LEVEL, METRICS, compare, score
from tagstudy.evaluation.scoring import best_threshold

RUNS, COMPARISONS = 100, 400


def main() -> None:
    chosen = arguments(__doc__)
    folder = prepare("so_titles, 10 tags", chosen.data, train={"runs": RUNS})
    with contextlib.chdir(folder):
        tags = read_json(Path("data/posts/tags.json"))
        valid, test = (read_labels(split, tags) for split in ("valid", "test"))
        guesses = [result.test >= best_threshold(valid, result.valid) for result in train("sparse")]
    draw = np.random.default_rng(0)
    named = []
    for _ in range(COMPARISONS):
        ten = [guesses[run] for run in draw.choice(RUNS, 10, replace=False)]
        fives = score(test, {"one": ten[:5], "other": ten[5:]}, resamples=200)
        named.append(compare(*fives.values())["p"][: len(METRICS)] < LEVEL)
    for metric, share in zip(METRICS, np.mean(named, axis=0), strict=True):
        print(f"{metric:16} a winner in {share:.1%} of {COMPARISONS} comparisons")


if __name__ == "__main__":
    main()
