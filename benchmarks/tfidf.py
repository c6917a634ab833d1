"""Posts a second of the stage featurize_tfidf beside scikit-learn's TfidfVectorizer() on the same posts.

`python benchmarks/tfidf.py --data FOLDER`. scikit-learn has the texts in memory and keeps the result there; the study
reads them from Parquet and writes CSR features. Imports do not count. Both run in turn; the ratio is a median.
"""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from sklearn.feature_extraction.text import TfidfVectorizer

from dumps import ROOT, arguments, measure, write_params
from tagstudy.core.config import read_params
from tagstudy.core.corpus import Corpus
from tagstudy.core.files import whole_folder
from tagstudy.core.paths import FEATURES, POSTS, SPLITS
from tagstudy.features.tfidf import write_tfidf

CORPORA = ["stack_exchange/crypto.csv.zip", "stack_exchange/biology.csv.zip", "so_titles"]


def main() -> None:
    options = arguments(__doc__, rounds={"type": int, "default": 7})
    print("corpus                           posts  study/s  sklearn/s  ratio")
    for corpus in CORPORA:
        with TemporaryDirectory() as scratch, contextlib.chdir(scratch):
            write_params(Path(), ingest={"source": str(options.data / corpus), "tags": 50, "min_tags": 1, "folds": 1})
            measure(Path(), ROOT / "src/ingest.py")
            corpus = Corpus(POSTS)
            blocks = {split: corpus.texts(corpus.is_in(split, 0)) for split in SPLITS}
            texts = {split: [str(text) for block in blocks[split] for text in block] for split in SPLITS}
            rounds = [(seconds(study), seconds(lambda: sklearn(texts))) for _ in range(options.rounds)]  # noqa: B023
        posts = sum(map(len, texts.values()))
        speeds = [posts / median(times) for times in zip(*rounds, strict=True)]
        ratio = median(other / own for own, other in rounds)
        print(f"{corpus:30} {posts:8,} {speeds[0]:8,.0f} {speeds[1]:10,.0f} {ratio:6.2f}", flush=True)


def study() -> None:
    settings = read_params().featurize_tfidf
    with whole_folder(FEATURES / "tfidf", made_from=[POSTS]) as folder:
        write_tfidf(folder, Corpus(POSTS), settings)


def sklearn(texts: dict[str, list[str]]) -> None:
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
