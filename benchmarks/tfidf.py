"""Posts a second of the stage featurize_tfidf beside scikit-learn's TfidfVectorizer() on the same posts.

Theirs has the texts in memory and keeps the result there; ours reads them from Parquet and writes bags. Neither counts
its imports. Both run in turn, and the median of the ratios is told.
"""

import contextlib
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from dumps import ROOT, arguments, measure, write_params

sys.path.insert(0, str(ROOT / "src"))

from sklearn.feature_extraction.text import TfidfVectorizer

import featurize_tfidf
from tagstudy.core.paths import SPLITS
from tagstudy.core.store import read_texts

CORPORA = ["stack_exchange/crypto.csv.zip", "stack_exchange/biology.csv.zip", "so_titles"]


def main() -> None:
    chosen = arguments(__doc__, rounds={"type": int, "default": 7})
    print("corpus                           posts   ours/s  theirs/s  ratio")
    for corpus in CORPORA:
        with TemporaryDirectory() as scratch, contextlib.chdir(scratch):
            write_params(Path(), ingest={"source": str(chosen.data / corpus), "tags": 50, "min_tags": 1})
            measure(Path(), ROOT / "src/ingest.py")
            texts = {split: [text for batch in read_texts(split) for text in batch] for split in SPLITS}
            rounds = [(seconds(featurize_tfidf.main), seconds(lambda: theirs(texts))) for _ in range(chosen.rounds)]  # noqa: B023
        posts = sum(map(len, texts.values()))
        ours, other = (posts / median(runs) for runs in zip(*rounds, strict=True))
        ratio = median(other / own for own, other in rounds)
        print(f"{corpus:30} {posts:8,} {ours:8,.0f} {other:9,.0f} {ratio:6.2f}", flush=True)


def theirs(texts: dict[str, list[str]]) -> None:
    vectorizer = TfidfVectorizer()
    vectorizer.fit_transform(texts["train"])
    for split in ("valid", "test"):
        vectorizer.transform(texts[split])


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
