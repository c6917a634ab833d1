"""Does more training change the verdict? Studies in folds, with the default budget and with ten times as many steps.

`python benchmarks/verdicts.py --data FOLDER` makes a study of each corpus cut to `--sizes` train posts, and of the
whole corpus, with each of `--steps` as `train.min_steps`. It writes benchmarks/verdicts.csv, and prints it.
"""

from pathlib import Path

import pandas as pd

from bench import CORPORA, SMALL, prepare, run_stages
from common import ROOT, arguments
from tagstudy.core.corpus import Corpus
from tagstudy.core.files import read_json
from tagstudy.core.paths import METRICS, POSTS

TABLE = ROOT / "benchmarks/verdicts.csv"
CUT = ["crypto, 50 tags", "biology, 50 tags", "robotics, 20 tags"]
WHOLE = ["so_titles, 10 tags", "crypto, 50 tags", "robotics, 20 tags", "quantumcomputing, 20 tags"]


def main() -> None:
    options = arguments(
        __doc__,
        cut={"nargs": "*", "choices": CORPORA | SMALL, "default": CUT},
        whole={"nargs": "*", "choices": CORPORA | SMALL, "default": WHOLE},
        sizes={"nargs": "*", "type": int, "default": [100, 200, 500, 1000]},
        steps={"nargs": "*", "type": int, "default": [250, 2500]},
    )
    studies = [(corpus, size) for corpus in options.cut for size in options.sizes]
    rows = []
    for corpus, size in studies + [(corpus, None) for corpus in options.whole]:
        rows += [study(corpus, size, steps, options.data) for steps in options.steps]
        pd.DataFrame(rows).to_csv(TABLE, index=False, lineterminator="\n")
    print(pd.DataFrame(rows).to_markdown(index=False))


def study(corpus: str, size: int | None, steps: int, data: Path) -> dict[str, object]:
    """The scores and the verdict of a study of so many train posts, None for all, with so many steps at least."""
    folder = prepare(corpus, data, ingest={"max_train": size, "folds": 5}, train={"min_steps": steps})
    run_stages(folder, "train_dense", "train_sparse", "evaluate")
    scores = read_json(folder / METRICS / "metrics.json")
    return {
        "corpus": corpus,
        "posts": int(Corpus(folder / POSTS).is_in("train", fold=0).sum()),
        "min_steps": steps,
        "dense": scores["dense"]["micro_f1"],
        "sparse": scores["sparse"]["micro_f1"],
        **{name: scores["difference"].get(name) for name in ("low", "high", "p")},
        "verdict": (folder / METRICS / "verdict.txt").read_text().split(":")[0],
    }


if __name__ == "__main__":
    main()
