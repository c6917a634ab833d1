"""Both arms and the baselines on the same posts, splits and tokens: accuracy, seconds, memory. `make bench` runs it.

Prints a table for each corpus and that of docs/baselines.md, and writes benchmarks/results.csv. A baseline is trained
with every setting of its grid; the one with the highest micro-F1 on valid once more, alone, for its seconds. Every
threshold is tuned on valid for micro-F1, one for all tags. The study's own scoring scores the predicted tags of test.
"""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from baselines import GRIDS
from contestant import CONTESTANTS
from dense_scores import read_labels, score, tune
from dumps import ROOT, arguments, update, write_params
from tagstudy.core.corpus import Corpus
from tagstudy.core.files import read_json
from tagstudy.core.paths import POSTS

CORPORA = {  # a name; its source, ingest.tags (None: those of params.yaml) and ingest.min_tags
    "so_titles, 10 tags": ("so_titles", None, 2),
    "so_titles, 100 tags": ("so_titles", 100, 1),
    "crypto, 50 tags": ("stack_exchange/crypto.csv.zip", 50, 1),
    "biology, 50 tags": ("stack_exchange/biology.csv.zip", 50, 1),
}
SMALL = {
    "robotics, 20 tags": ("stack_exchange/robotics.csv.zip", 20, 1),
    "quantumcomputing, 20 tags": ("quantumcomputing", 20, 1),
}
CONTESTANT = "benchmarks/contestant.py"
RESULTS = ROOT / "benchmarks/results.csv"
NAMES = {
    "sparse": "**sparse arm**",
    "dense": "**dense arm**",
    "logistic_regression": "TF-IDF + logistic regression",
    "fasttext": "fastText",
    "libmultilabel": "LibMultiLabel",
    "original_dense": "original recipe, dense",
    "original_sparse": "original recipe, sparse",
}


def main() -> None:
    options = arguments(
        __doc__,
        only={
            "nargs": "*",
            "choices": CONTESTANTS,
            "default": list(CONTESTANTS),
            "help": "contestants to train; the others keep their results",
        },
        corpora={"nargs": "*", "choices": CORPORA, "default": list(CORPORA)},
    )
    for corpus in options.corpora:
        folder = prepare(corpus, options.data)
        for name in options.only:
            compete(folder, name)
        trained = [name for name in CONTESTANTS if (folder / f"results/{name}.json").exists()]
        table = pd.DataFrame([assess(folder, name) for name in trained])
        table.insert(0, "corpus", corpus)
        print(f"\n{table.drop(columns=['corpus', 'settings']).round(4).to_string(index=False)}", flush=True)
        print("\n".join(f"  {row.contestant}: {row.settings}" for row in table.itertuples() if row.settings))
        print(speed_to_quality(folder, table), flush=True)
        order = {"corpus": list(CORPORA), "contestant": list(CONTESTANTS)}
        update(RESULTS, table.round(4), order)
    print(in_markdown(pd.read_csv(RESULTS)))


def work_folder(corpus: str) -> Path:
    return ROOT / "benchmarks/work" / corpus.replace(",", "").replace(" ", "_")


def prepare(corpus: str, data: Path, **changes: dict) -> Path:
    """A work folder in which the stages before training have run; ``changes`` are of parameters, by section.

    The posts are split once, as published results are, unless ``changes`` say otherwise.
    """
    source, tags, min_tags = (CORPORA | SMALL)[corpus]
    folder = work_folder(corpus)
    folder.mkdir(parents=True, exist_ok=True)
    ingest = {"source": str(data / source), "min_tags": min_tags, "folds": 1} | ({"tags": tags} if tags else {})
    write_params(folder, **changes | {"ingest": ingest | changes.get("ingest", {})})
    run_stages(folder, "ingest", "featurize_dense", "featurize_tfidf")
    return folder


def run_stages(folder: Path, *stages: str) -> None:
    for stage in stages:
        if not call(folder, f"src/{stage}.py"):
            sys.exit(1)


def compete(folder: Path, name: str) -> None:
    """Train a contestant alone, a baseline with the best setting of its grid; results/NAME holds its scores."""
    settings = best_setting(folder, name) if name in GRIDS else {}
    if not call(folder, CONTESTANT, name, json.dumps(settings)):
        sys.exit(1)


def best_setting(folder: Path, name: str) -> dict[str, Any]:
    """The setting of a baseline's grid with the highest micro-F1 on valid; as many at a time as there are cores."""
    grid = GRIDS[name]
    commands = [(CONTESTANT, name, json.dumps(settings), f"grid/{number}") for number, settings in enumerate(grid)]
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        succeeded = list(threads.map(lambda command: call(folder, *command), commands))
    # A failed setting has printed its error; fastText diverges where the learning rate is too high.
    micro_f1 = {n: assess(folder, f"grid/{n}")["valid_micro"] for n, success in enumerate(succeeded) if success}
    if not micro_f1:
        sys.exit(f"{name} gave no result on {folder.name}")
    for number, value in micro_f1.items():
        print(f"   {grid[number]}: micro-F1 on valid {value:.4f}", flush=True)
    return grid[max(micro_f1, key=lambda number: micro_f1[number])]


def call(folder: Path, script: str, *arguments: str) -> bool:
    """Run a script; return whether it succeeded.

    A killed script ends the benchmark: it may have been the best setting.
    """
    print(f"== {folder.name}: {script} {' '.join(arguments)}", flush=True)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}  # fastText has its own setting
    status = subprocess.call([sys.executable, ROOT / script, *arguments], cwd=folder, env=environment)
    if status < 0:
        sys.exit(f"{script} {' '.join(arguments)} was killed by signal {-status}; is there enough memory?")
    return status == 0


def assess(folder: Path, name: str) -> dict[str, Any]:
    """A row of the table: means over runs."""
    corpus = Corpus(folder / POSTS)
    labels = {split: read_labels(corpus, split) for split in ("valid", "test")}
    summary = read_json(folder / f"results/{name}.json")
    y_score = np.load(folder / f"results/{name}.npz")
    rows = []
    for number, run in enumerate(summary["runs"]):
        threshold = tune(labels["valid"], y_score[f"valid{number}"]).value
        valid, test = (score(labels[split], y_score[f"{split}{number}"] >= threshold) for split in ("valid", "test"))
        rows.append(
            {
                "micro_f1": test["micro_f1"],
                "macro_f1": test["macro_f1"],
                "hamming": test["hamming_loss"],
                "valid_micro": valid["micro_f1"],
                "valid_macro": valid["macro_f1"],
                **{key: run[key] for key in ("seconds", "posts_per_second", "parameters")},
            }
        )
    means = pd.DataFrame(rows).mean().to_dict()
    settings = ", ".join(f"{key}={value}" for key, value in summary["settings"].items())
    return {"contestant": name, **means, "peak_mb": summary["peak_mb"], "settings": settings}


def in_markdown(table: pd.DataFrame) -> str:
    """The table of docs/baselines.md."""
    cells = [f"{row.micro_f1:.3f} / {row.macro_f1:.3f}, {row.seconds:.1f} s" for row in table.itertuples()]
    return (
        table.assign(cell=cells, name=table["contestant"].map(NAMES))
        .pivot(index="name", columns="corpus", values="cell")
        .reindex(index=list(NAMES.values()), columns=list(CORPORA))
        .rename_axis("test micro-F1 / macro-F1, training seconds")
        .to_markdown()
    )


def speed_to_quality(folder: Path, table: pd.DataFrame) -> str:
    """When each arm's micro-F1 on valid first reached that of fastText, each at its tuned threshold."""
    lines = []
    by_name = table.set_index("contestant")
    for arm in ("sparse", "dense"):
        if "fasttext" in by_name.index and arm in by_name.index:
            goal, seconds = by_name.loc["fasttext", ["valid_micro", "seconds"]]
            for run in read_json(folder / f"results/{arm}.json")["runs"]:
                reached = [at for at, scores in run["curve"] if scores["valid_tuned_micro_f1"] >= goal]
                when = f"after {reached[0]:.2f} s" if reached else "never"
                lines.append(f"  {arm} reached fastText's {goal:.4f} {when}; fastText took {seconds:.2f} s")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
