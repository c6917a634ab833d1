"""How often does the verdict name a winner where there is none? The sparse arm against itself, on real posts.

`python benchmarks/against_itself.py --data FOLDER` trains it a hundred times on so_titles with ten tags. Again and
again it draws two groups of five different runs and compares them as evaluate compares the arms. One comparison in
twenty may name a winner.
"""

import contextlib

import numpy as np
from scipy.sparse import csr_array

from compare import prepare
from dense_scores import decisions, read_labels, tune
from dumps import arguments
from ours import train
from tagstudy.core.corpus import Corpus
from tagstudy.core.paths import POSTS
from tagstudy.evaluation.comparison import LEVEL, METRICS, compare, score

COMPARISONS = 400


def main() -> None:
    options = arguments(__doc__, runs={"type": int, "default": 100, "help": "how often the arm is trained"})
    folder = prepare("so_titles, 10 tags", options.data, train={"runs": options.runs})
    with contextlib.chdir(folder):
        corpus = Corpus(POSTS)
        valid, test = (read_labels(corpus, split) for split in ("valid", "test"))
        runs = [decisions(test, result.test >= tune(valid, result.valid).value) for result in train("sparse")]
    rng = np.random.default_rng(0)
    significant = []  # [comparisons, metrics]
    for _ in range(COMPARISONS):
        chosen = [runs[run] for run in rng.choice(len(runs), 10, replace=False)]
        scores = score(csr_array(test), {"first": chosen[:5], "second": chosen[5:]}, resamples=200)
        significant.append(compare(scores["first"], scores["second"])["p"][: len(METRICS)] < LEVEL)
    for metric, fraction in zip(METRICS, np.mean(significant, axis=0), strict=True):
        print(f"{metric:16} a winner in {fraction:.1%} of {COMPARISONS} comparisons")


if __name__ == "__main__":
    main()
