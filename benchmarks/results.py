"""The answer on real posts: every dense embedding beside TF-IDF on four corpora, accuracy and cost, in docs/results.

`python benchmarks/results.py --data FOLDER` runs the stages with each embedding on each corpus, writes results.csv
(means over runs, differences with their intervals, cost, device, the commit and a hash of the data), tags.csv (each
tag) and pictures, and prints the README's tables; `--corpora` and `--embeddings` name some of them, and the rows of the
others stay. `glove` is left out where `--vectors` names no file for it. On posts longer than titles an encoder is
fine-tuned on a GPU alone.
"""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from matplotlib.ticker import EngFormatter

from compare import CORPORA, prepare, run_stages, work_folder
from dumps import ROOT, arguments, update  # isort: split

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
    chosen = arguments(
        __doc__,
        corpora={"nargs": "*", "choices": CORPORA, "default": list(CORPORA)},
        embeddings={"nargs": "*", "choices": EMBEDDINGS, "default": EMBEDDINGS},
        vectors={"type": Path, "help": "file of word vectors that glove starts from"},
    )
    vectors = str(chosen.vectors.resolve()) if chosen.vectors else None
    made_from = commit()  # before the first row is written
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else CPU
    for corpus in chosen.corpora:
        trained = False
        for embedding in chosen.embeddings:
            if embedding == "finetuned" and corpus in LONG_POSTS and not torch.cuda.is_available():
                print(f"{corpus}: finetuned needs a GPU", file=sys.stderr)
                continue
            if embedding == "glove" and not vectors:
                print(f"{corpus}: glove needs --vectors", file=sys.stderr)
                continue
            folder = prepare(corpus, chosen.data, featurize_dense={"embedding": embedding, "vectors": vectors})
            run_stages(folder, "train_dense", *([] if trained else ["train_sparse"]), "evaluate")
            trained = True
            data = hash_of(chosen.data / CORPORA[corpus][0])
            keep(corpus, embedding, folder, device=device, commit=made_from, data=data)
    table = pd.read_csv(FOLDER / "results.csv")
    draw(table)
    print(scores_and_costs(table))
    print(f"\nBeyond chance alone, but not among all {len(table)}: {', '.join(doubtful(table)) or 'none'}")


def keep(corpus: str, embedding: str, folder: Path, **made_from: str) -> None:
    """Put what evaluate wrote into the tables, in the place of earlier rows, and the pictures beside them."""
    where = {"corpus": corpus, "embedding": embedding}
    row = where | scores(folder) | made_from
    tags = [pd.read_csv(folder / f"plots/tags_{arm}.csv").assign(arm=arm) for arm in ("dense", "sparse")]
    order = {"corpus": list(CORPORA), "embedding": EMBEDDINGS}
    update(FOLDER / "results.csv", pd.DataFrame([row]), order)
    update(FOLDER / "tags.csv", pd.concat(tags).assign(**where).round(4), order)
    beside = FOLDER / work_folder(corpus).name / embedding
    beside.mkdir(parents=True, exist_ok=True)
    for name in PICTURES:
        shutil.copy(folder / "plots/images" / name, beside / name)
    print(pd.DataFrame([row]).to_string(index=False), flush=True)


def scores(folder: Path) -> dict[str, float]:
    """Test scores of both arms and of their fusion, what each costs, and the differences in micro-F1."""
    runs = pd.read_csv(folder / "metrics/runs.csv").query("run == 'mean'").set_index("arm")
    cost = pd.read_csv(folder / "plots/cost.csv").set_index("arm")
    seconds = pd.DataFrame(read_json(folder / "metrics/timings.json")).T
    about = runs[SCORES].round(4).join(cost[["parameters", "multiply_adds"]].astype(int)).join(seconds)
    fusion = pd.read_csv(folder / "metrics/fusion.csv").query("score == 'micro_f1'").set_index("arm")
    differences = {
        "dense_over_sparse": pd.read_csv(folder / "metrics/comparison.csv").query("score == 'micro_f1'").iloc[0],
        **{f"fusion_over_{arm}": fusion.loc[arm] for arm in fusion.index},
    }
    return {f"{arm}_{name}": about[name][arm] for arm in about.index for name in about} | {
        f"{name}_{part}": round(row[part], 4)
        for name, row in differences.items()
        for part in ("difference", "low", "high", "p")
    }


def commit() -> str:
    """The commit that is checked out, with "-dirty" where code or parameters are no longer as they are in it."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    changed = git("status", "--porcelain", "--", "src", "params.yaml", "benchmarks/*.py")
    return git("rev-parse", "--short", "HEAD") + ("-dirty" if changed else "")


def hash_of(source: Path) -> str:
    """MD5 of a file, as in dvc.lock, or of the files of a folder one behind the other."""
    digest = hashlib.md5(usedforsecurity=False)
    for path in sorted(source.iterdir()) if source.is_dir() else [source]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def doubtful(table: pd.DataFrame) -> list[str]:
    """Rows whose difference from TF-IDF is lost when corrected for looking at all of them (Holm, 1979)."""
    ranked = table.sort_values("dense_over_sparse_p")
    p = ranked["dense_over_sparse_p"]
    corrected = (p * range(len(p), 0, -1)).cummax()
    lost = ranked[(p < LEVEL) & (corrected >= LEVEL)]
    return [f"{row.embedding} on {row.corpus} ({corrected[row.Index]:.3f})" for row in lost.itertuples()]


def scores_and_costs(table: pd.DataFrame) -> str:
    """Two tables in Markdown, as they stand in the README: an embedding a row, a corpus a column."""
    found = [
        cells(row, arm, name.format(row.embedding))
        for row in table.itertuples()
        for arm, name in {"sparse": "TF-IDF", "dense": "`{}`", "fusion": "`{}` and TF-IDF"}.items()
    ]
    long = pd.DataFrame(found).drop_duplicates(["corpus", "name"])
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
    """What the tables say of an arm, or of the fusion, in a row of results.csv."""
    micro, macro, hamming, adds, seconds, speed = (
        getattr(row, f"{arm}_{of}") for of in (*SCORES, "multiply_adds", "training_seconds", "posts_per_second")
    )
    accuracy = f"{micro:.3f} / {macro:.3f} / {hamming:.3f}"
    cost = f"{engineering(adds)} / {seconds:,.1f} s / {engineering(speed)}" if arm != "fusion" else ""
    return {"corpus": row.corpus, "name": name, "accuracy": accuracy, "cost": cost and cost + device_of(row)}


def device_of(row: Any) -> str:
    return "" if row.device == CPU else f" on {row.device}"


def there(row: Any) -> str:
    """Where a row is of another device, and so beside a TF-IDF of its own."""
    where = device_of(row)
    return where and f"{where}: TF-IDF {row.sparse_micro_f1:.3f}"


def draw(table: pd.DataFrame) -> None:
    """The answer: how far each embedding, and its fusion, is from TF-IDF, with intervals; at the right micro-F1."""
    names, places = [], []
    for corpus, rows in table.groupby("corpus", sort=False):
        names.append(f"{corpus}: TF-IDF {rows['sparse_micro_f1'].iloc[0]:.3f}")
        names += [row.embedding + there(row) for row in rows.itertuples()]
        places += [None, *rows.index]
    heights = {place: height for height, place in enumerate(places) if place is not None}
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
        both = f"{row.dense_micro_f1:.3f}  {row.fusion_micro_f1:.3f}"
        axes.annotate(both, (1.01, height), xycoords=("axes fraction", "data"), va="center")
    for label, place in zip(axes.get_yticklabels(), places, strict=True):
        label.set_fontweight("bold" if place is None else "normal")
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("test micro-F1 − that of TF-IDF, with 95% intervals (at the right: micro-F1, dense and fusion)")
    figures.save(figure, FOLDER / "answer.png")


if __name__ == "__main__":
    main()
