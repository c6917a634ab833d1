"""Both arms and the baselines on the same posts, folds and tokens: accuracy, seconds, memory. `make bench` runs it.

Writes benchmarks/results.csv, and prints a table for each corpus and that of docs/baselines.md. A baseline is trained
with every setting of its grid on the first fold; the one with the highest micro-F1 on valid then on every fold, alone,
for its seconds. All are scored and compared as src/compare.py does, each at thresholds tuned on valid.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from baselines import GRIDS
from common import ROOT, arguments, update, write_params
from contestant import CONTESTANTS
from dense_scores import as_blocks, read_labels, tune
from tagstudy.core.corpus import Corpus
from tagstudy.core.files import read_json
from tagstudy.core.paths import POSTS
from tagstudy.evaluation.experiments import Candidate
from tagstudy.evaluation.ranking import rank_candidates
from tagstudy.evaluation.systems import Assessor, Read

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
RESAMPLES = 1000
NAMES = {
    "sparse": "sparse arm",
    "dense": "dense arm",
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
        folder = prepare(corpus, options.data, ingest={"folds": 5})
        for name in options.only:
            compete(folder, name)
        table = compare(folder, [name for name in CONTESTANTS if (folder / f"results/{name}.json").exists()])
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
    if not call(folder, CONTESTANT, name, "--settings", json.dumps(settings)):
        sys.exit(1)


def best_setting(folder: Path, name: str) -> dict[str, Any]:
    """The setting of a baseline's grid with the highest micro-F1 on valid; as many at a time as there are cores."""
    grid = GRIDS[name]
    commands = [
        (CONTESTANT, name, "--settings", json.dumps(settings), "--folds", "0", "--output", f"grid/{number}")
        for number, settings in enumerate(grid)
    ]
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        succeeded = list(threads.map(lambda command: call(folder, *command), commands))
    # A failed setting has printed its error; fastText diverges where the learning rate is too high.
    micro_f1 = {n: valid_micro_f1(folder, f"grid/{n}")[0] for n, success in enumerate(succeeded) if success}
    if not micro_f1:
        sys.exit(f"{name} gave no result on {folder.name}")
    for number, value in micro_f1.items():
        print(f"   {grid[number]}: micro-F1 on valid {value:.4f}", flush=True)
    return grid[max(micro_f1, key=lambda number: micro_f1[number])]


def valid_micro_f1(folder: Path, name: str) -> list[float]:
    """Of each fold that has been trained, at the best threshold."""
    corpus, y_score = Corpus(folder / POSTS), np.load(folder / f"results/{name}.npz")
    folds = range(len(y_score) // 2)
    return [tune(read_labels(corpus, "valid", fold), y_score[f"valid{fold}"]).micro_f1 for fold in folds]


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


def compare(folder: Path, names: list[str]) -> pd.DataFrame:
    """A row for each contestant: its scores, its difference from the best one, and what it costs; means over folds."""
    corpus = Corpus(folder / POSTS)
    assessor = Assessor(corpus, "tuned", "none")
    summaries = {name: read_json(folder / f"results/{name}.json") for name in names}
    systems = {name: assessor.system(map(reader(folder, name), assessor.labels, range(corpus.folds))) for name in names}
    candidates = {
        name: Candidate(system, summaries[name]["runs"][0]["parameters"], None) for name, system in systems.items()
    }
    ranking = rank_candidates(corpus, candidates, RESAMPLES, "micro_f1").systems.set_index("system")
    rows = []
    for name, summary in summaries.items():
        scores = systems[name].scores()
        costs = pd.DataFrame(summary["runs"])[["seconds", "posts_per_second", "parameters"]]
        rows.append({
            "contestant": name,
            **ranking.loc[name].drop(["multiply_adds", "problem"]),
            "macro_f1": scores["macro_f1"],
            "hamming_loss": scores["hamming_loss"],
            "valid_micro_f1": np.mean(valid_micro_f1(folder, name)),
            **costs.mean(),
            "peak_mb": summary["peak_mb"],
            "settings": ", ".join(f"{key}={value}" for key, value in summary["settings"].items()),
        })  # fmt: skip
    return pd.DataFrame(rows)


def reader(folder: Path, name: str) -> Callable[[dict, int], Read]:
    """What reads a contestant's scores of a fold, whose labels are given by split."""
    y_score = np.load(folder / f"results/{name}.npz")
    return lambda labels, fold: lambda split: as_blocks(labels[split], y_score[f"{split}{fold}"])


def in_markdown(table: pd.DataFrame) -> str:
    """The table of docs/baselines.md; bold: tied for best."""
    half = (table["high"] - table["low"]) / 2
    scores = [f"**{row.micro_f1:.3f}**" if row.tied else f"{row.micro_f1:.3f}" for row in table.itertuples()]
    cells = [
        f"{score} ± {width:.3f} / {row.macro_f1:.3f}, {row.seconds:.1f} s"
        for score, width, row in zip(scores, half, table.itertuples(), strict=True)
    ]
    return (
        table.assign(cell=cells, name=table["contestant"].map(NAMES))
        .pivot(index="name", columns="corpus", values="cell")
        .reindex(index=list(NAMES.values()), columns=list(CORPORA))
        .rename_axis("test micro-F1 / macro-F1, training seconds")
        .to_markdown()
    )


def speed_to_quality(folder: Path, table: pd.DataFrame) -> str:
    """When each arm's micro-F1 on valid first reached that of fastText, each at its tuned threshold; by fold."""
    lines = []
    by_name = table.set_index("contestant")
    for arm in ("sparse", "dense"):
        if {"fasttext", arm} <= set(by_name.index):
            goals, runs = valid_micro_f1(folder, "fasttext"), read_json(folder / f"results/{arm}.json")["runs"]
            for fold, (goal, run) in enumerate(zip(goals, runs, strict=True)):
                reached = [at for at, scores in run["curve"] if scores["valid_tuned_micro_f1"] >= goal]
                when = f"after {reached[0]:.2f} s" if reached else "never"
                took = by_name.loc["fasttext", "seconds"]
                lines.append(f"  fold {fold}: {arm} reached fastText's {goal:.4f} {when}; fastText took {took:.2f} s")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
