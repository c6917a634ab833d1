"""The answer on real posts: every dense embedding beside TF-IDF on four corpora, accuracy and cost, in docs/results.

`python benchmarks/results.py --data FOLDER` runs the stages with each embedding on each corpus. It writes results.csv
(means over runs, differences with their intervals, cost, device, the commit and a hash of the data), tags.csv (scores
of each tag) and pictures, and prints the README's tables. `--corpora` and `--embeddings` choose some of them; the rows
of the others stay. `glove` needs a file of `--vectors`. On posts longer than titles `finetuned` needs a GPU.
"""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.ticker import EngFormatter

from compare import CORPORA, prepare, run_stages, work_folder
from dumps import ROOT, arguments, update
from tagstudy.core.files import read_json
from tagstudy.evaluation import figures
from tagstudy.evaluation.comparison import LEVEL

EMBEDDINGS = ["learned", "word2vec", "glove", "static", "encoder", "finetuned"]
FOLDER = ROOT / "docs/results"
CPU = "CPU"
LONG_POSTS = ("crypto, 50 tags", "biology, 50 tags")  # on which an encoder is fine-tuned on a GPU alone
SCORES = ["micro_f1", "macro_f1", "hamming_loss"]
TITLES = {
    "accuracy": "test micro-F1 / macro-F1 / Hamming loss",
    "cost": "multiply-adds of a post / training a run / posts a second",
}
engineering = EngFormatter(places=0)
PICTURES = ("f1_by_tag.png", "difference_by_tag.png")


def main() -> None:
    options = arguments(
        __doc__,
        corpora={"nargs": "*", "choices": CORPORA, "default": list(CORPORA)},
        embeddings={"nargs": "*", "choices": EMBEDDINGS, "default": EMBEDDINGS},
        vectors={"type": Path, "help": "file of word vectors that initialise glove"},
    )
    vectors = str(options.vectors.resolve()) if options.vectors else None
    code = commit()  # before the first row is written
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else CPU
    for corpus in options.corpora:
        trained = False
        for embedding in options.embeddings:
            if embedding == "finetuned" and corpus in LONG_POSTS and not torch.cuda.is_available():
                print(f"{corpus}: finetuned needs a GPU", file=sys.stderr)
                continue
            if embedding == "glove" and not vectors:
                print(f"{corpus}: glove needs --vectors", file=sys.stderr)
                continue
            folder = prepare(corpus, options.data, featurize_dense={"embedding": embedding, "vectors": vectors})
            run_stages(folder, "train_dense", *([] if trained else ["train_sparse"]), "evaluate")
            trained = True
            data = hash_of(options.data / CORPORA[corpus][0])
            keep(corpus, embedding, folder, device=device, commit=code, data=data)
    table = pd.read_csv(FOLDER / "results.csv")
    draw(table)
    print(scores_and_costs(table))
    lost = not_significant_among_all(table)
    print(f"\nSignificant alone, but not among all {len(table)} comparisons: {', '.join(lost) or 'none'}")


def keep(corpus: str, embedding: str, folder: Path, **provenance: str) -> None:
    """Put what evaluate wrote into the tables, in place of earlier rows, and copy its pictures."""
    keys = {"corpus": corpus, "embedding": embedding}
    row = keys | scores(folder) | provenance
    tags = [pd.read_csv(folder / f"plots/tags_{arm}.csv").assign(arm=arm) for arm in ("dense", "sparse")]
    order = {"corpus": list(CORPORA), "embedding": EMBEDDINGS}
    update(FOLDER / "results.csv", pd.DataFrame([row]), order)
    update(FOLDER / "tags.csv", pd.concat(tags).assign(**keys).round(4), order)
    pictures = FOLDER / work_folder(corpus).name / embedding
    pictures.mkdir(parents=True, exist_ok=True)
    for name in PICTURES:
        shutil.copy(folder / "plots/images" / name, pictures / name)
    print(pd.DataFrame([row]).to_string(index=False), flush=True)


def scores(folder: Path) -> dict[str, float]:
    """Test scores of both arms and of their fusion, what each costs, and the differences in micro-F1."""
    runs = pd.read_csv(folder / "metrics/runs.csv").query("run == 'mean'").set_index("arm")
    cost = pd.read_csv(folder / "plots/cost.csv").set_index("arm")
    seconds = pd.DataFrame(read_json(folder / "metrics/timings.json")).T
    by_arm = runs[SCORES].round(4).join(cost[["parameters", "multiply_adds"]].astype(int)).join(seconds)
    fusion = pd.read_csv(folder / "metrics/fusion.csv").query("score == 'micro_f1'").set_index("arm")
    differences = {
        "dense_over_sparse": pd.read_csv(folder / "metrics/comparison.csv").query("score == 'micro_f1'").iloc[0],
        **{f"fusion_over_{arm}": fusion.loc[arm] for arm in fusion.index},
    }
    return {f"{arm}_{name}": by_arm[name][arm] for arm in by_arm.index for name in by_arm} | {
        f"{name}_{part}": round(row[part], 4)
        for name, row in differences.items()
        for part in ("difference", "low", "high", "p")
    }


def commit() -> str:
    """The commit that is checked out, with "-dirty" where code or parameters differ from it."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    changed = git("status", "--porcelain", "--", "src", "params.yaml", "benchmarks/*.py")
    return git("rev-parse", "--short", "HEAD") + ("-dirty" if changed else "")


def hash_of(source: Path) -> str:
    """MD5 of a file, as in dvc.lock, or of the concatenated files of a folder."""
    digest = hashlib.md5(usedforsecurity=False)
    for path in sorted(source.iterdir()) if source.is_dir() else [source]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def not_significant_among_all(table: pd.DataFrame) -> list[str]:
    """Rows whose difference from TF-IDF is significant alone, but not corrected for all comparisons (Holm, 1979)."""
    ranked = table.sort_values("dense_over_sparse_p")
    p = ranked["dense_over_sparse_p"]
    corrected = (p * np.arange(len(p), 0, -1)).cummax()
    lost = ranked[(p < LEVEL) & (corrected >= LEVEL)]
    return [f"{row.embedding} on {row.corpus} ({corrected[row.Index]:.3f})" for row in lost.itertuples()]


def scores_and_costs(table: pd.DataFrame) -> str:
    """Two tables in Markdown, as they stand in the README: an embedding a row, a corpus a column."""
    rows = [
        cells(row, arm, name.format(row.embedding))
        for row in table.itertuples()
        for arm, name in {"sparse": "TF-IDF", "dense": "`{}`", "fusion": "`{}` and TF-IDF"}.items()
    ]
    long = pd.DataFrame(rows).drop_duplicates(["corpus", "name"])
    return "\n\n".join(
        long[long[cell] != ""]
        .pivot(index="name", columns="corpus", values=cell)
        .reindex(index=long["name"].unique(), columns=list(CORPORA))
        .dropna(how="all")
        .fillna("")
        .rename_axis(title)
        .to_markdown()
        for cell, title in TITLES.items()
    )


def cells(row: Any, arm: str, name: str) -> dict[str, str]:
    """The cells of an arm, or of the fusion, in a row of results.csv."""
    micro, macro, hamming, adds, seconds, speed = (
        getattr(row, f"{arm}_{column}") for column in (*SCORES, "multiply_adds", "training_seconds", "posts_per_second")
    )
    accuracy = f"{micro:.3f} / {macro:.3f} / {hamming:.3f}"
    cost = f"{engineering(adds)} / {seconds:,.1f} s / {engineering(speed)}" if arm != "fusion" else ""
    return {"corpus": row.corpus, "name": name, "accuracy": accuracy, "cost": cost and cost + on_device(row)}


def on_device(row: Any) -> str:
    return "" if row.device == CPU else f" on {row.device}"


def sparse_on_device(row: Any) -> str:
    """The TF-IDF that a row is compared with, if it was trained on another device."""
    device = on_device(row)
    return device and f"{device}: TF-IDF {row.sparse_micro_f1:.3f}"


def draw(table: pd.DataFrame) -> None:
    """The answer: micro-F1 of each embedding and of its fusion minus that of TF-IDF, with intervals."""
    names: list[str] = []
    rows_of: list[int | None] = []  # the row in the table that a line of the picture shows; None for a heading
    for corpus, rows in table.groupby("corpus", sort=False):
        names.append(f"{corpus}: TF-IDF {rows['sparse_micro_f1'].iloc[0]:.3f}")
        names += [row.embedding + sparse_on_device(row) for row in rows.itertuples()]
        rows_of += [None, *rows.index]
    heights = {row: height for height, row in enumerate(rows_of) if row is not None}
    figure, axes = figures.rows(names, 0.3)
    axes.axvline(0, color=figures.COLOURS["sparse"], linewidth=2)
    shown = table.loc[list(heights)]
    for arm, label, shift in (("dense", "dense", -0.17), ("fusion", "fusion with TF-IDF", 0.17)):
        middle, low, high = (shown[f"{arm}_over_sparse_{part}"] for part in ("difference", "low", "high"))
        axes.errorbar(
            middle,
            [height + shift for height in heights.values()],
            xerr=[middle - low, high - middle],
            fmt=figures.MARKERS[arm],
            markersize=4,
            color=figures.COLOURS[arm],
            capsize=2,
            label=label,
        )
    for height, row in zip(heights.values(), shown.itertuples(), strict=True):
        scores = f"{row.dense_micro_f1:.3f}  {row.fusion_micro_f1:.3f}"
        axes.annotate(scores, (1.01, height), xycoords=("axes fraction", "data"), va="center")
    for name, number in zip(axes.get_yticklabels(), rows_of, strict=True):
        name.set_fontweight("bold" if number is None else "normal")
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("test micro-F1 − that of TF-IDF, with 95% intervals\n(at the right: micro-F1, dense and fusion)")
    figures.save(figure, FOLDER / "answer.png")


if __name__ == "__main__":
    main()
