"""Every dense embedding on real posts, beside TF-IDF and fused with it: accuracy and cost.

`python benchmarks/embeddings.py` runs the stages with each embedding on each corpus and writes the means over runs to
benchmarks/embeddings.csv, where the rows of other corpora and embeddings stay. On posts longer than titles an encoder
is fine-tuned on a GPU alone.
"""

import json
import sys
from pathlib import Path

import pandas as pd
import torch

from compare import CORPORA, prepare, run_stages
from dumps import ROOT, arguments

EMBEDDINGS = ["learned", "word2vec", "static", "encoder", "finetuned"]
TABLE = ROOT / "benchmarks/embeddings.csv"


def main() -> None:
    chosen = arguments(
        __doc__,
        corpora={"nargs": "*", "choices": CORPORA, "default": ["so_titles, 10 tags", "crypto, 50 tags"]},
        embeddings={"nargs": "*", "choices": EMBEDDINGS, "default": EMBEDDINGS},
    )
    table = pd.read_csv(TABLE, index_col=["corpus", "embedding"]) if TABLE.exists() else pd.DataFrame()
    for corpus in chosen.corpora:
        trained = False
        for embedding in chosen.embeddings:
            if embedding == "finetuned" and not corpus.startswith("so_titles") and not torch.cuda.is_available():
                print(f"{corpus}: finetuned needs a GPU", file=sys.stderr)
                continue
            folder = prepare(corpus, chosen.data, featurize_dense={"embedding": embedding})
            run_stages(folder, "train_dense", *([] if trained else ["train_sparse"]), "evaluate")
            trained = True
            rows = pd.DataFrame([{"corpus": corpus, "embedding": embedding} | scores(folder)])
            table = rows.set_index(["corpus", "embedding"]).combine_first(table)[rows.columns[2:]]
            table.to_csv(TABLE, lineterminator="\n")
            print(rows.to_string(index=False), flush=True)


def scores(folder: Path) -> dict[str, float]:
    """Test micro-F1 and macro-F1 of the dense arm and of its fusion with TF-IDF, and what the dense arm costs."""
    runs = pd.read_csv(folder / "metrics/runs.csv").query("run == 'mean'").set_index("arm")
    cost = pd.read_csv(folder / "plots/cost.csv").set_index("arm").loc["dense"]
    seconds = json.loads((folder / "metrics/timings.json").read_text())["dense"]
    of_arms = {
        f"{arm}_{score}": runs.loc[arm, score].round(4) for arm in runs.index for score in ("micro_f1", "macro_f1")
    }
    return of_arms | {"parameters": cost["parameters"], "multiply_adds": round(cost["multiply_adds"])} | seconds


if __name__ == "__main__":
    main()
