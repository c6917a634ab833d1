"""Both arms and their peers on the same posts, splits and tokens: accuracy, seconds, memory. `make bench` runs it.

Prints a table for each corpus and that of the README, and writes benchmarks/results.csv. A peer is trained with every
setting of its grid, and the one with the highest micro-F1 on valid stands; it is trained once more, alone, for its
seconds. Every threshold is tuned on valid for micro-F1, one for all tags, and the guesses are scored on test, all by
the study's own scoring.
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
from dumps import ROOT, arguments, update, write_params
from tagstudy.core.files import read_json
from tagstudy.core.store import read_labels
from tagstudy.evaluation.scoring import best_threshold, count, scores

CORPORA = {  # a name, its source, how many tags (None: those of params.yaml) and ingest.min_tags
    "so_titles, 10 tags": ("so_titles", None, 2),
    "so_titles, 100 tags": ("so_titles", 100, 1),
    "crypto, 50 tags": ("stack_exchange/crypto.csv.zip", 50, 1),
    "biology, 50 tags": ("stack_exchange/biology.csv.zip", 50, 1),
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
    chosen = arguments(
        __doc__,
        only={
            "nargs": "*",
            "choices": CONTESTANTS,
            "default": list(CONTESTANTS),
            "help": "of the others the last results stay",
        },
        corpora={"nargs": "*", "choices": CORPORA, "default": list(CORPORA)},
    )
    for corpus in chosen.corpora:
        folder = prepare(corpus, chosen.data)
        for name in chosen.only:
            compete(folder, name)
        there = [name for name in CONTESTANTS if (folder / f"results/{name}.json").exists()]
        table = pd.DataFrame([assess(folder, name) for name in there])
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
    """A work folder in which the stages before training have run, with some more parameters changed."""
    source, tags, min_tags = CORPORA[corpus]
    folder = work_folder(corpus)
    folder.mkdir(parents=True, exist_ok=True)
    ingest = {"source": str(data / source), "min_tags": min_tags} | ({"tags": tags} if tags else {})
    write_params(folder, **changes | {"ingest": ingest | changes.get("ingest", {})})
    run_stages(folder, "ingest", "featurize_dense", "featurize_tfidf")
    return folder


def run_stages(folder: Path, *stages: str) -> None:
    for stage in stages:
        if not call(folder, f"src/{stage}.py"):
            sys.exit(1)


def compete(folder: Path, name: str) -> None:
    """Run a contestant into results/NAME, a peer with the best setting of its grid: once more, and alone."""
    settings = best_setting(folder, name) if name in GRIDS else {}
    if not call(folder, CONTESTANT, name, json.dumps(settings)):
        sys.exit(1)


def best_setting(folder: Path, name: str) -> dict[str, Any]:
    """The setting of a peer's grid with the highest micro-F1 on valid; as many at a time as there are processors."""
    grid = GRIDS[name]
    commands = [(CONTESTANT, name, json.dumps(settings), f"grid/{number}") for number, settings in enumerate(grid)]
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        ran = list(threads.map(lambda command: call(folder, *command), commands))
    # The error of one that did not stands above; fastText diverges where the learning rate is too high.
    found = {n: assess(folder, f"grid/{n}")["valid_micro"] for n, through in enumerate(ran) if through}
    if not found:
        sys.exit(f"{name} gave no result on {folder.name}")
    for number, reached in found.items():
        print(f"   {grid[number]}: micro-F1 on valid {reached:.4f}", flush=True)
    return grid[max(found, key=lambda number: found[number])]


def call(folder: Path, script: str, *arguments: str) -> bool:
    """Whether the script ran through. One that was killed ends the benchmark: it may have been the best setting."""
    print(f"== {folder.name}: {script} {' '.join(arguments)}", flush=True)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}  # fastText's threads are its own
    status = subprocess.call([sys.executable, ROOT / script, *arguments], cwd=folder, env=environment)
    if status < 0:
        sys.exit(f"{script} {' '.join(arguments)} was killed by signal {-status}; is there enough memory?")
    return status == 0


def assess(folder: Path, name: str) -> dict[str, Any]:
    """A row of the table: means over runs."""
    tags = read_json(folder / "data/posts/tags.json")
    here = Path.cwd()
    os.chdir(folder)  # where the study's readers look
    labels = {split: read_labels(split, tags) for split in ("valid", "test")}
    os.chdir(here)
    about = read_json(folder / f"results/{name}.json")
    given = np.load(folder / f"results/{name}.npz")
    rows = []
    for number, run in enumerate(about["runs"]):
        threshold = best_threshold(labels["valid"], given[f"valid{number}"])
        found = {split: scores(count(labels[split], given[f"{split}{number}"] >= threshold)) for split in labels}
        rows.append(
            {
                "micro_f1": found["test"]["micro_f1"],
                "macro_f1": found["test"]["macro_f1"],
                "hamming": found["test"]["hamming_loss"],
                "valid_micro": found["valid"]["micro_f1"],
                "valid_macro": found["valid"]["macro_f1"],
                **{key: run[key] for key in ("seconds", "posts_per_second", "parameters")},
            }
        )
    means = pd.DataFrame(rows).mean().to_dict()
    settings = ", ".join(f"{key}={value}" for key, value in about["settings"].items())
    return {"contestant": name, **means, "peak_mb": about["peak_mb"], "settings": settings}


def in_markdown(table: pd.DataFrame) -> str:
    """The README's table."""
    cells = [f"{row.micro_f1:.3f} / {row.macro_f1:.3f}, {row.seconds:.1f} s" for row in table.itertuples()]
    return (
        table.assign(cell=cells, name=table["contestant"].map(NAMES))
        .pivot(index="name", columns="corpus", values="cell")
        .reindex(index=list(NAMES.values()), columns=list(CORPORA))
        .rename_axis("test micro-F1 / macro-F1, training seconds")
        .to_markdown()
    )


def speed_to_quality(folder: Path, table: pd.DataFrame) -> str:
    """When each arm's validation micro-F1 first reached that of fastText, each at its tuned threshold."""
    lines = []
    peers = table.set_index("contestant")
    for arm in ("sparse", "dense"):
        if "fasttext" in peers.index and arm in peers.index:
            goal, limit = peers.loc["fasttext", ["valid_micro", "seconds"]]
            for run in json.loads((folder / f"results/{arm}.json").read_text())["runs"]:
                reached = [seconds for seconds, at in run["curve"] if at["valid_tuned_micro_f1"] >= goal]
                when = f"after {reached[0]:.2f} s" if reached else "never"
                lines.append(f"  {arm} reached fastText's {goal:.4f} {when}; fastText took {limit:.2f} s")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
