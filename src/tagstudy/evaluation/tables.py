"""The tables that evaluate writes: what DVC draws and the figures show."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from tagstudy.core.checksums import checked
from tagstudy.core.corpus import Corpus, Text
from tagstudy.core.printing import JOINERS, visible
from tagstudy.data.text import tokenize
from tagstudy.evaluation import scoring
from tagstudy.evaluation.meters import RECALLS, Reliability

# Characters that begin a formula, also full-width, at the start of a cell or after a separator inside it.
FORMULA = re.compile(rf"""((?:^|[,;|])[\s"'{JOINERS}]*)([=+\-@＝＋－＠])""")
DISAGREEMENTS = 20  # posts shown for each arm
EXCERPT = 300  # characters of their texts


def history(folder: Path) -> pd.DataFrame:
    """What dvclive logged of an arm's runs: a row for each epoch that all of them reached, means over runs."""
    runs = [read_history(run) for run in sorted(folder.glob("run-*"))]
    epochs = min(len(run) for run in runs)
    return pd.concat([run[:epochs] for run in runs]).groupby("epoch").mean().reset_index()


def read_history(folder: Path) -> pd.DataFrame:
    """What dvclive logged of a run: a row per epoch."""
    paths = sorted((folder / "plots" / "metrics").glob("*.tsv"))
    logs = [pd.read_csv(checked(path), sep="\t", index_col="step") for path in paths]
    return pd.concat(logs, axis="columns").rename_axis("epoch").reset_index()


def by_tag(counts: Sequence[scoring.Counts], tags: list[str]) -> pd.DataFrame:
    """Per tag: support (posts in test), precision, recall, f1; mean over repeats."""
    runs = [scoring.by_tag(count) for count in counts]
    means = {name: np.mean([run[name] for run in runs], axis=0) for name in runs[0]}
    return pd.DataFrame({"tag": tags, "support": counts[0].tp + counts[0].fn, **means})


def confusion(counts: Sequence[scoring.Counts], tags: list[str]) -> pd.DataFrame:
    """Four rows per tag, posts averaged over repeats; `actual` and `predicted` say yes or no."""
    tp, fp, fn = (np.mean([getattr(count, cell) for count in counts], axis=0) for cell in ("tp", "fp", "fn"))
    cells = {("yes", "yes"): tp, ("yes", "no"): fn, ("no", "yes"): fp, ("no", "no"): counts[0].posts - tp - fn - fp}
    return pd.DataFrame(
        {"tag": tag, "actual": actual, "predicted": predicted, "posts": posts[number]}
        for number, tag in enumerate(tags)
        for (actual, predicted), posts in cells.items()
    )


def tag_frequency(corpus: Corpus) -> pd.DataFrame:
    """How many posts have each tag."""
    posts = sum(np.bincount(block.indices, minlength=len(corpus.tags)) for block in corpus.labels.blocks())
    return pd.DataFrame({"tag": corpus.tags, "posts": posts})


def co_occurrence(blocks: Iterable[csr_array], tags: list[str]) -> pd.DataFrame:
    """For every pair of tags, the number of posts with both, and their fraction of the first tag's posts.

    ``blocks`` are labels [posts, tags or more]. A tag with itself has posts but no fraction, which would say nothing.
    """
    posts = np.zeros((len(tags), len(tags)), dtype=np.int64)
    for labels in blocks:
        shown = labels[:, : len(tags)].astype(np.int64)
        posts += (shown.T @ shown).toarray()
    with np.errstate(invalid="ignore"):  # NaN for a tag without posts, such as a counted one that train lacks
        fraction = posts / posts.diagonal()[:, None]
    np.fill_diagonal(fraction, np.nan)
    return pd.DataFrame(
        {"tag": tag, "with": other, "posts": posts[row, column], "fraction": fraction[row, column]}
        for row, tag in enumerate(tags)
        for column, other in enumerate(tags)
    )


def reliability(runs: Sequence[Reliability]) -> pd.DataFrame:
    """The reliability of all runs' decisions pooled; bins without decisions are dropped."""
    table = sum(runs[1:], start=runs[0]).compute()
    return table[table["decisions"] > 0]


def precision_recall(runs: Sequence[np.ndarray]) -> pd.DataFrame:
    """Precision [RECALLS] at each recall that all runs reach with their stored scores; mean over runs."""
    return pd.DataFrame({"recall": RECALLS, "precision": np.mean(runs, axis=0)}).dropna()


def groups(corpus: Corpus, tested: np.ndarray, labels: csr_array) -> dict[str, np.ndarray]:
    """Test posts, boolean [posts], by whether their text names a tag of theirs, and by length: quarters, in words.

    ``tested`` [posts] are their rows in the corpus, ``labels`` [posts, tags] theirs.
    """
    names = [" ".join(tokenize(tag)) for tag in corpus.tags]
    named, lengths = np.zeros(len(tested), dtype=bool), np.zeros(len(tested), dtype=np.int64)
    chosen = np.zeros(len(corpus), dtype=bool)
    chosen[tested] = True
    texts = (tokenize(str(text)) for block in corpus.texts(chosen) for text in block)
    for post, tokens in zip(np.argsort(tested), texts, strict=True):
        words = f" {' '.join(tokens)} "
        tags_of_post = labels.indices[labels.indptr[post] : labels.indptr[post + 1]]
        named[post] = any(names[tag] and f" {names[tag]} " in words for tag in tags_of_post)  # may hold no token
        lengths[post] = len(tokens)
    edges = np.unique(np.quantile(lengths, [0.25, 0.5, 0.75], method="lower"))
    quarter = np.searchsorted(edges, lengths)
    parts = [quarter == number for number in np.unique(quarter)]
    return {"mentions one of its tags": named, "mentions none of its tags": ~named} | {
        f"{lengths[part].min()} to {lengths[part].max()} words": part for part in parts
    }


def breakdown(
    labels: csr_array, decisions: Mapping[str, Sequence[csr_array]], groups: dict[str, np.ndarray]
) -> pd.DataFrame:
    """Micro-F1 of each arm on each group that has posts; mean over repeats.

    Arguments as for :func:`scoring.count_outcomes`.
    """
    return pd.DataFrame(
        {
            "group": group,
            "posts": int(here.sum()),
            "arm": arm,
            "micro_f1": np.mean(
                [scoring.f1(scoring.total(scoring.count_outcomes(labels[here], run[here]))) for run in runs]
            ),
        }
        for group, here in groups.items()
        for arm, runs in decisions.items()
        if here.any()
    )


def disagreements(
    corpus: Corpus, labels: csr_array, dense: Sequence[csr_array], sparse: Sequence[csr_array]
) -> pd.DataFrame:
    """Test posts that one arm gets right and the other wrong, first those with most wrong tags.

    ``labels`` and the decisions of each arm's repeats are those of the test posts. An arm predicts the tags that more
    than half of its repeats predict.
    """
    tags = {"tags": labels.astype(bool), "dense": majority(dense), "sparse": majority(sparse)}
    wrong = {arm: (tags[arm] != tags["tags"]).sum(axis=1) for arm in ("dense", "sparse")}
    chosen = []
    for right, other in (("dense", "sparse"), ("sparse", "dense")):
        gap = np.where(wrong[right] == 0, wrong[other], 0)
        chosen += [(right, row) for row in np.argsort(-gap, kind="stable")[:DISAGREEMENTS] if gap[row]]
    rows = corpus.tested()
    posts = posts_at(corpus, {rows[row] for _, row in chosen})

    def describe(right: str, row: int) -> dict[str, str]:
        named = {name: " ".join(corpus.tags[tag] for tag in of[[row]].indices) for name, of in tags.items()}
        post, text = posts[rows[row]]
        return {"right": right, "id": post, **named, "text": " ".join(str(text).split())[:EXCERPT]}

    return pd.DataFrame([describe(*post) for post in chosen], columns=["right", "id", *tags, "text"])


def majority(runs: Sequence[csr_array]) -> csr_array:
    """Booleans [posts, tags]: predicted by more than half of the runs."""
    votes = sum(csr_array((np.ones_like(run.indices), run.indices, run.indptr), shape=run.shape) for run in runs)
    return votes > len(runs) / 2


def posts_at(corpus: Corpus, rows: set[int]) -> dict[int, tuple[str, Text]]:
    """The ids and the texts of some posts, by their place in the corpus."""
    posts: dict[int, tuple[str, Text]] = {}
    for start, (ids, titles, bodies) in corpus.read(["id", "title", "body"]):
        here = rows.intersection(range(start, start + len(ids)))
        posts |= {row: (ids[row - start], Text(titles[row - start], bodies[row - start])) for row in here}
    return posts


def escape_cells(table: pd.DataFrame) -> pd.DataFrame:
    """The table with its text made harmless to the programs that open it.

    A spreadsheet would run a cell that begins like a formula, even if it splits lines at separators other than commas.
    DVC puts cells into its HTML unescaped. Invisible characters are dropped, and so are line breaks, at which some
    programs end an unquoted row.
    """
    return table.map(lambda cell: escape_cell(cell) if isinstance(cell, str) else cell)


def escape_cell(text: str) -> str:
    return FORMULA.sub(r"\1'\2", visible(text)).replace("<", "‹")
