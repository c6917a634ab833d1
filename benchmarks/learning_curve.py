"""How many train posts does a learned embedding need? Both arms on growing parts of train, tested on all posts.

`python benchmarks/learning_curve.py --data FOLDER` runs the stages in five folds, on so_titles with 100 tags and on
biology with 50, and writes benchmarks/learning_curve.csv and .png.
"""

import pandas as pd
from matplotlib.figure import Figure

from bench import prepare, run_stages
from common import ROOT, arguments, update
from tagstudy.core.files import read_json
from tagstudy.evaluation.style import COLOURS, MARKERS, WIDTH

SIZES = (250, 500, 1000, 2000, 4000, 8000, None)
TABLE = ROOT / "benchmarks/learning_curve.csv"
CORPORA = ("so_titles, 100 tags", "biology, 50 tags")
NAMES = {"dense": "learned", "sparse": "TF-IDF"}


def main() -> None:
    options = arguments(__doc__, corpora={"nargs": "*", "choices": CORPORA, "default": list(CORPORA)})
    rows = []
    for corpus in options.corpora:
        for size in SIZES:
            # All sizes are scored on the same tags, though few posts lack some of them.
            ingest = {"max_train": size, "folds": 5, "unseen_tags": "count"}
            folder = prepare(corpus, options.data, ingest=ingest)
            run_stages(folder, "train_dense", "train_sparse", "evaluate")
            posts = read_json(folder / "data/posts/summary.json")["folds"][0]["train"]
            metrics = read_json(folder / "metrics/metrics.json")
            scores = {f"{arm}_{name}": metrics[arm][name] for name in ("micro_f1", "macro_f1") for arm in COLOURS}
            rows.append({"corpus": corpus, "posts": posts, **scores, **metrics["difference"]})
    table = pd.DataFrame(rows).drop_duplicates(["corpus", "posts"])
    update(TABLE, table, {"corpus": list(CORPORA)})
    draw(pd.read_csv(TABLE))
    print(table.to_string(index=False))


def draw(table: pd.DataFrame) -> None:
    """Micro-F1 of each system, and below it the difference of the arms with its interval."""
    figure = Figure(figsize=(WIDTH, 5.2), layout="constrained")
    panels = figure.subplots(2, table["corpus"].nunique(), sharex="col", height_ratios=(3, 2), squeeze=False)
    for (upper, lower), (corpus, rows) in zip(panels.T, table.groupby("corpus", sort=False), strict=True):
        for arm in ("fusion", "dense", "sparse"):  # the fusion would hide TF-IDF
            scores, name = rows[f"{arm}_micro_f1"], NAMES.get(arm, arm)
            upper.plot(rows["posts"], scores, MARKERS[arm] + "-", color=COLOURS[arm], label=name)
        upper.set(title=corpus, xscale="log", ylabel="micro-F1 on test")
        upper.legend()
        middle, low, high = rows["micro_f1"], rows["low"], rows["high"]
        lower.axhline(0, color="#8c8c8c", linewidth=1)
        lower.errorbar(rows["posts"], middle, yerr=[middle - low, high - middle], fmt="o", color="#222222", capsize=3)
        lower.set(xlabel="train posts", ylabel="learned − TF-IDF,\n95% intervals")
        lower.set_xticks(rows["posts"], [f"{posts:,}" for posts in rows["posts"]], rotation=45)
        lower.minorticks_off()
    figure.savefig(ROOT / "benchmarks/learning_curve.png", bbox_inches="tight")


if __name__ == "__main__":
    main()
