"""Compare all embeddings: which are tied for best, and which of these is the cheapest?

    python src/compare.py                      the workspace and the experiments of this commit
    python src/compare.py NAME ...             these experiments or commits, as `dvc exp list` names them

Reads the predictions of each from DVC's cache; nothing is rerun. All must have been tested on the posts of the
workspace, and are scored by its evaluate.threshold and evaluate.calibrate. Shows TF-IDF, each embedding, each fusion
of the two and, where a fold has several runs, a control for plain ensembling: two runs of the best arm, fused with
equal weights.
"""

import argparse
from pathlib import Path

import tagstudy.core.processor  # noqa: F401 - before numpy and torch

# isort: split
import pandas as pd

from tagstudy.core.config import read_params
from tagstudy.core.corpus import Corpus
from tagstudy.core.errors import user_errors
from tagstudy.core.files import atomic_folder, check_replaceable
from tagstudy.core.paths import POSTS
from tagstudy.core.printing import print_visible
from tagstudy.evaluation import figures
from tagstudy.evaluation.experiments import gather_systems, open_experiments
from tagstudy.evaluation.ranking import rank_candidates, sentence
from tagstudy.evaluation.report import write_csv
from tagstudy.evaluation.scoring import COMPARED

OUTPUT = Path("data/comparison")
TABLE = "systems.csv"


def main() -> None:
    options = arguments()
    check_replaceable(options.output, TABLE, "a comparison")
    params, corpus = read_params().evaluate, Corpus(POSTS)
    with open_experiments(options.experiments, corpus.fingerprint) as experiments:
        candidates = gather_systems(corpus, experiments, params.threshold, params.calibrate)
        ranking = rank_candidates(corpus, candidates, params.resamples, options.metric)
    with atomic_folder(options.output) as folder:
        write_csv(folder / TABLE, ranking.systems)
        write_csv(folder / "pairs.csv", ranking.pairs)
        figures.systems(folder / "systems.png", ranking.systems, options.metric)
    shown = ranking.systems.drop(columns="problem") if ranking.systems["problem"].isna().all() else ranking.systems
    shown = shown.round(4).assign(multiply_adds=shown["multiply_adds"].map("{:,.0f}".format))
    print_visible(in_markdown(shown) if options.md else shown.to_string(index=False))
    print_visible(f"\n{sentence(ranking, options.metric, params.margin, len(corpus.tested()))}")
    print_visible(f"(table, all pairs and picture: {options.output})")


def in_markdown(table: pd.DataFrame) -> str:
    cells = [["" if pd.isna(value) else str(value) for value in row] for row in table.to_numpy(dtype=object)]
    return "\n".join(f"| {' | '.join(row)} |" for row in [list(table.columns), ["---"] * table.shape[1], *cells])


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiments", nargs="*", metavar="EXPERIMENT", help="a name, a commit, or workspace")
    parser.add_argument("--metric", choices=COMPARED, default=COMPARED[0], help="what they are ranked by (micro_f1)")
    parser.add_argument("--md", action="store_true", help="print the table in Markdown")
    parser.add_argument("--output", type=Path, default=OUTPUT, help=f"a folder for the files ({OUTPUT})")
    return parser.parse_args()


if __name__ == "__main__":
    with user_errors("compare"):
        main()
