"""The answer on real posts: all embeddings compared, in docs/results.

The defaults were chosen on four of the corpora, none on the two small ones.

`python benchmarks/results.py --data FOLDER` runs the stages with each embedding on each corpus, in folds, and compares
all systems as src/compare.py does. It writes systems.csv (scores, differences from the best, cost), pairs.csv and
systems.png for each corpus, and prints the table of docs/results.md. `--corpora` and `--embeddings` choose some of
them. `glove` needs a file of `--vectors`. On posts longer than titles `finetuned` needs a GPU.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bench import CORPORA, SMALL, prepare, run_stages, work_folder
from common import ROOT, arguments
from tagstudy.core.config import read_params
from tagstudy.core.corpus import Corpus
from tagstudy.core.paths import ARMS, PLOTS, POSTS, PREDICTIONS
from tagstudy.evaluation import figures, style
from tagstudy.evaluation.experiments import Experiment, gather_systems
from tagstudy.evaluation.ranking import rank_candidates, sentence
from tagstudy.evaluation.report import write_csv
from tagstudy.predictions.predictions import Predictions

EMBEDDINGS = ["learned", "word2vec", "glove", "static", "encoder", "finetuned"]
FOLDER = ROOT / "docs/results"
ALL = CORPORA | SMALL
LONG_POSTS = [corpus for corpus in ALL if "titles" not in corpus]  # on which an encoder is fine-tuned on a GPU alone
METRIC = "micro_f1"
ACROSS = 3  # panels of the answer beside one another


def main() -> None:
    options = arguments(
        __doc__,
        corpora={"nargs": "*", "choices": ALL, "default": list(ALL)},
        embeddings={"nargs": "*", "choices": EMBEDDINGS, "default": EMBEDDINGS},
        vectors={"type": Path, "help": "file of word vectors that initialise glove"},
    )
    vectors = str(options.vectors.resolve()) if options.vectors else None
    code = commit()  # before the first file is written
    for corpus in options.corpora:
        experiments: list[Experiment] = []
        for embedding in options.embeddings:
            if embedding == "finetuned" and corpus in LONG_POSTS and not torch.cuda.is_available():
                print(f"{corpus}: finetuned needs a GPU", file=sys.stderr)
            elif embedding == "glove" and not vectors:
                print(f"{corpus}: glove needs --vectors", file=sys.stderr)
            else:
                experiments.append(train(corpus, embedding, options.data, vectors, first=not experiments))
        if experiments:
            compare(corpus, experiments, code)
    draw()
    print(in_markdown())


def train(corpus: str, embedding: str, data: Path, vectors: str | None, first: bool) -> Experiment:
    """Run the study with an embedding; the sparse arm is trained once for all."""
    folder = prepare(corpus, data, ingest={"folds": 5}, featurize_dense={"embedding": embedding, "vectors": vectors})
    run_stages(folder, "train_dense", *(["train_sparse"] if first else []), "evaluate")
    kept = folder / "results" / embedding / "predictions"
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(folder / PREDICTIONS, kept)
    arms = {arm: Predictions(kept / arm) for arm in ARMS}
    hashes = {"dense": embedding, "sparse": "TF-IDF"}
    cost = pd.read_csv(folder / PLOTS / "cost.csv", index_col="arm")
    params = read_params(folder / "params.yaml").evaluate
    return Experiment(embedding, embedding, arms, hashes, cost, (params.threshold, params.calibrate))


def compare(corpus: str, experiments: list[Experiment], code: str) -> None:
    """Compare all systems on a corpus, and write the findings."""
    folder = work_folder(corpus)
    params, posts = read_params(folder / "params.yaml").evaluate, Corpus(folder / POSTS)
    systems = gather_systems(posts, experiments, params.threshold, params.calibrate)
    ranking = rank_candidates(posts, systems, params.resamples, METRIC)
    others = pd.DataFrame({name: each.system.scores() for name, each in systems.items()}).T
    table = ranking.systems.merge(others[["macro_f1", "hamming_loss"]], left_on="system", right_index=True)
    target = FOLDER / folder.name
    target.mkdir(parents=True, exist_ok=True)
    write_csv(target / "systems.csv", table.assign(commit=code))
    write_csv(target / "pairs.csv", ranking.pairs)
    figures.systems(target / "systems.png", ranking.systems, METRIC)
    finding = sentence(ranking, METRIC, params.margin, len(posts.tested()))
    (target / "finding.txt").write_text(finding + "\n", encoding="utf-8")
    print(f"\n{corpus}\n{ranking.systems.round(4).to_string()}\n{finding}", flush=True)


def commit() -> str:
    """The commit that is checked out, with "-dirty" where code or parameters differ from it."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    changed = git("status", "--porcelain", "--", "src", "params.yaml", "benchmarks/*.py")
    return git("rev-parse", "--short", "HEAD") + ("-dirty" if changed else "")


def in_markdown() -> str:
    """The table of docs/results.md: micro-F1 with intervals; bold: tied for best; †: an arm had not converged."""
    columns = {}
    cost: dict[str, float] = {}
    for corpus in ALL:
        path = FOLDER / work_folder(corpus).name / "systems.csv"
        if path.exists():
            table = pd.read_csv(path).set_index("system")
            columns[corpus] = {name: cell(row) for name, row in table.iterrows()}
            cost = table["multiply_adds"].to_dict() | cost
    rows = pd.DataFrame(columns).reindex(sorted(cost, key=lambda name: (" + " in name, cost[name]))).fillna("")
    head = [["test micro-F1", *columns], ["---"] * (1 + len(columns))]
    body = [[str(name), *row] for name, row in zip(rows.index, rows.to_numpy().tolist(), strict=True)]
    return "\n".join(f"| {' | '.join(row)} |" for row in head + body)


def draw() -> None:
    """The answer: micro-F1 of every system with its interval, a panel for each corpus."""
    tables = {corpus: FOLDER / work_folder(corpus).name / "systems.csv" for corpus in ALL}
    found = {corpus: pd.read_csv(path).set_index("system") for corpus, path in tables.items() if path.exists()}
    names = sorted(
        set().union(*(table.index for table in found.values())),
        key=lambda name: max(table["multiply_adds"].get(name, 0) for table in found.values()),
    )
    names.sort(key=lambda name: " + " in name)
    down = -(-len(found) // ACROSS)
    figure = Figure(figsize=(style.WIDTH, 0.8 + (0.8 + 0.22 * len(names)) * down), layout="constrained")
    panels = figure.subplots(down, ACROSS, sharey=True, squeeze=False)
    for axes in panels.flat[len(found) :]:
        axes.remove()
    for axes, (corpus, table) in zip(panels.flat, found.items(), strict=False):
        table = table.reindex(names)
        axes.axvline(table[METRIC]["TF-IDF"], color=style.COLOURS["sparse"], linewidth=1)
        figures.standings(axes, table, METRIC)
        axes.set_title(corpus.replace(", ", "\n"), fontsize="small")
        axes.xaxis.set_major_locator(MaxNLocator(3, min_n_ticks=2))
        axes.set_xlabel("better →")
    panels[0, 0].set_ylim(len(names) - 0.5, -0.5)
    for row in panels:
        row[0].set_yticks(range(len(names)), [style.display_name(name) for name in names])
    figure.suptitle("Micro-F1 on test, 95% intervals; the line is TF-IDF alone", fontsize="medium", fontweight="bold")
    style.save(figure, FOLDER / "answer.png")


def cell(row: pd.Series) -> str:
    score = f"{row[METRIC]:.3f}"
    half = (row["high"] - row["low"]) / 2
    return f"{f'**{score}**' if row['tied'] else score} ± {half:.3f}" + ("" if pd.isna(row["problem"]) else " †")


if __name__ == "__main__":
    main()
