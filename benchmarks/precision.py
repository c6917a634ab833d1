"""Does an encoder in 8-bit integers tag as well as in float32? Both on the same posts and folds, with intervals.

`python benchmarks/precision.py --data FOLDER` trains the dense arm on vectors of either precision, and writes the
differences of their scores on test to benchmarks/precision.csv, with the seconds that encoding a post takes.
"""

import shutil

import pandas as pd

from bench import CORPORA, SMALL, prepare, run_stages
from common import ROOT, arguments, update
from tagstudy.core.config import read_params
from tagstudy.core.corpus import Corpus
from tagstudy.core.files import read_json
from tagstudy.core.paths import POSTS, PREDICTIONS, TIMINGS
from tagstudy.evaluation.comparison import compare, score
from tagstudy.evaluation.scoring import COMPARED
from tagstudy.evaluation.systems import Assessor
from tagstudy.predictions.predictions import Predictions

PRECISIONS = ("int8", "float32")
TABLE = ROOT / "benchmarks/precision.csv"


def main() -> None:
    options = arguments(__doc__, corpora={"nargs": "*", "choices": CORPORA | SMALL, "default": list(CORPORA | SMALL)})
    for corpus in options.corpora:
        arms, seconds = {}, {}
        for precision in PRECISIONS:
            encoder = {"embedding": "encoder", "dtype": precision}
            folder = prepare(corpus, options.data, ingest={"folds": 5}, featurize_dense=encoder)
            run_stages(folder, "train_dense")
            kept = folder / "results" / precision
            shutil.copytree(folder / PREDICTIONS / "dense", kept, dirs_exist_ok=True)
            arms[precision] = Predictions(kept)
            timings = read_json(folder / TIMINGS / "encode_dense.json")
            seconds[f"seconds_{precision}"] = timings["seconds"]
        params, posts = read_params(folder / "params.yaml").evaluate, Corpus(folder / POSTS)
        assessor = Assessor(posts, params.threshold, params.calibrate)
        scores = score(posts, {name: assessor.arm(arm) for name, arm in arms.items()}, params.resamples)
        one, other = (scores[precision] for precision in PRECISIONS)
        table = compare(one, other)[: len(COMPARED)].round(5)
        table.insert(0, "corpus", corpus)
        update(
            TABLE, table.assign(metric=COMPARED, **seconds), {"corpus": list(CORPORA | SMALL), "metric": list(COMPARED)}
        )
    print(pd.read_csv(TABLE).to_string(index=False))


if __name__ == "__main__":
    main()
