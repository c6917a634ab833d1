"""The verdict on real posts: dense against sparse, and sparse against itself, which should differ by chance alone.

`python benchmarks/verdicts.py --data FOLDER --runs 5` runs the stages on every corpus. It prints evaluate's verdict and
its seconds, and writes the differences of all scores to benchmarks/verdicts.csv.
"""

import shutil
import time
from pathlib import Path

import pandas as pd

from compare import CORPORA, prepare, run_stages
from dumps import ROOT, arguments, update, write_params
from tagstudy.core.paths import MODELS, PREDICTIONS


def main() -> None:
    options = arguments(
        __doc__, corpora={"nargs": "*", "choices": CORPORA, "default": list(CORPORA)}, runs={"type": int, "default": 5}
    )
    comparisons = []
    for corpus in options.corpora:
        folder = prepare(corpus, options.data, train={"runs": options.runs})
        run_stages(folder, "train_dense", "train_sparse")
        comparisons.append(judge(folder).assign(corpus=corpus, arms="dense, sparse"))
        # The sparse arm takes the place of the dense one, and is trained again with other seeds.
        for part in (MODELS, PREDICTIONS):
            shutil.rmtree(folder / part / "dense")
            shutil.copytree(folder / part / "sparse", folder / part / "dense")
        write_params(folder, train={"runs": options.runs, "seed": 9999})
        run_stages(folder, "train_sparse")
        comparisons.append(judge(folder).assign(corpus=corpus, arms="sparse, sparse"))
    table = pd.concat(comparisons).round(4)
    update(
        ROOT / "benchmarks/verdicts.csv", table, {"corpus": list(CORPORA), "arms": ["dense, sparse", "sparse, sparse"]}
    )
    print(table.to_string(index=False))


def judge(folder: Path) -> pd.DataFrame:
    """Run evaluate; return its comparison, a row for each score."""
    start = time.perf_counter()
    run_stages(folder, "evaluate")
    print(f"evaluate took {time.perf_counter() - start:.1f} s", flush=True)
    return pd.read_csv(folder / "metrics/comparison.csv")


if __name__ == "__main__":
    main()
