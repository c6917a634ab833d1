"""The search of src/tune.py, with the same budget for each kind of arm, and a log of every trial.

`python benchmarks/tuning.py --data FOLDER`. Each kind gets the same number of trials from the same ranges, on the same
two folds, scored by micro-F1 on valid; the first trial has the defaults. The best trial is then compared with
the defaults on the valid posts of the other three folds, on which no trial was scored. Test posts are not read. It
writes benchmarks/tuning.csv, and prints the table of docs/tuning.md.
"""

import contextlib

import pandas as pd

import tune
from bench import CORPORA, prepare
from common import ROOT, arguments, update
from tagstudy.core.config import Train, read_params

KINDS = {  # the arm, and the embedding of the dense one
    "TF-IDF": ("sparse", "learned"),
    "learned": ("dense", "learned"),
    "static": ("dense", "static"),
    "encoder": ("dense", "encoder"),
}
DEVELOPMENT = ["so_titles, 10 tags", "crypto, 50 tags"]
NAMES = ["lr", "embedding_lr", "dropout", "word_dropout", "batch_norm"]
SEARCHED, OTHERS = range(2), range(2, 5)  # folds
TABLE = ROOT / "benchmarks/tuning.csv"


def main() -> None:
    options = arguments(
        __doc__,
        corpora={"nargs": "*", "choices": CORPORA, "default": DEVELOPMENT},
        kinds={"nargs": "*", "choices": KINDS, "default": list(KINDS)},
        trials={"type": int, "default": 20},
    )
    for corpus in options.corpora:
        for kind in options.kinds:
            arm, embedding = KINDS[kind]
            folder = prepare(corpus, options.data, ingest={"folds": 5}, featurize_dense={"embedding": embedding})
            with contextlib.chdir(folder):
                rows = log(arm, getattr(read_params(), f"train_{arm}"), options.trials)
            rows.insert(0, "trial", range(len(rows)))
            update(TABLE, rows.assign(corpus=corpus, kind=kind), {"corpus": list(CORPORA), "kind": list(KINDS)})
    print(in_markdown(pd.read_csv(TABLE)))


def log(arm: str, settings: Train, number: int) -> pd.DataFrame:
    """A row for each trial; the defaults and the best trial have a score on the other folds, too."""
    trials = tune.search(arm, settings, SEARCHED, number)
    defaults = {name: getattr(settings, name) for name in NAMES}
    rows = pd.DataFrame([defaults | trial.changes | {"valid_micro_f1": trial.micro_f1} for trial in trials])
    best = rows["valid_micro_f1"].idxmax()
    for place in {0, best}:
        changed = settings.model_copy(update=trials[place].changes)
        scores = [tune.valid_micro_f1(arm, fold, changed) for fold in OTHERS]
        rows.loc[place, "other_folds"] = sum(scores) / len(scores)
    return rows.round(4)


def in_markdown(table: pd.DataFrame) -> str:
    """Of each corpus and kind, the defaults beside the best trial."""
    lines = [
        "| corpus | arm | defaults | best trial | defaults, other folds | best trial, other folds | its parameters |"
    ]
    lines.append("|---" * 7 + "|")
    for (corpus, kind), rows in table.groupby(["corpus", "kind"], sort=False):
        compared = rows[rows["other_folds"].notna()]
        first, best = rows.iloc[0], rows.loc[compared["valid_micro_f1"].idxmax()]
        scores = [row[name] for name in ("valid_micro_f1", "other_folds") for row in (first, best)]
        used = [name for name in NAMES if not (kind == "encoder" and name == "embedding_lr")]
        parameters = ", ".join(f"{name} {str(best[name]).lower()}" for name in used)
        lines.append(f"| {corpus} | {kind} | {' | '.join(f'{score:.4f}' for score in scores)} | {parameters} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
