"""The verdict on real posts: dense against sparse, and sparse against itself with other seeds, which should be level.

`python benchmarks/verdicts.py --data FOLDER --runs 5` runs the stages on every corpus, prints the sentence that
evaluate ends with and its seconds, and writes the differences of all scores to benchmarks/verdicts.csv.
"""

import shutil
import time
from pathlib import Path

import pandas as pd

from compare import CORPORA, prepare, run_stages
from dumps import ROOT, arguments, update, write_params


def main() -> None:
    chosen = arguments(
        __doc__, corpora={"nargs": "*", "choices": CORPORA, "default": list(CORPORA)}, runs={"type": int, "default": 5}
    )
    found = []
    for corpus in chosen.corpora:
        folder = prepare(corpus, chosen.data, train={"runs": chosen.runs})
        run_stages(folder, "train_dense", "train_sparse")
        found.append(judge(folder).assign(corpus=corpus, arms="dense, sparse"))
        # The sparse arm takes the dense one's place, and is trained again with other seeds.
        for part, sparse in (("features", "tfidf"), ("models", "sparse")):
            shutil.rmtree(folder / f"data/{part}/dense")
            shutil.copytree(folder / f"data/{part}/{sparse}", folder / f"data/{part}/dense")
        write_params(folder, train={"runs": chosen.runs, "seed": 9999})
        run_stages(folder, "train_sparse")
        found.append(judge(folder).assign(corpus=corpus, arms="sparse, sparse"))
    table = pd.concat(found).round(4)
    update(
        ROOT / "benchmarks/verdicts.csv", table, {"corpus": list(CORPORA), "arms": ["dense, sparse", "sparse, sparse"]}
    )
    print(table.to_string(index=False))


def judge(folder: Path) -> pd.DataFrame:
    """Run evaluate; give its comparison, a row a score."""
    start = time.perf_counter()
    run_stages(folder, "evaluate")
    print(f"evaluate took {time.perf_counter() - start:.1f} s", flush=True)
    return pd.read_csv(folder / "metrics/comparison.csv")


if __name__ == "__main__":
    main()
