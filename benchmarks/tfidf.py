"""Posts featurized per second, compared with scikit-learn's TfidfVectorizer() on the same posts.

`python benchmarks/tfidf.py --data FOLDER`. The study counts the words of the posts, and makes the features of both arms
of the counts: it reads Parquet and writes CSR. scikit-learn makes TF-IDF alone; it has the texts in memory and keeps
the result there. Imports do not count. Both run in turn; the ratio is a median. After three real corpora comes one of
titles generated from real ones.
"""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from sklearn.feature_extraction.text import TfidfVectorizer

from common import ROOT, arguments, make_titles, measure, write_params
from tagstudy.core.config import Compute, Params, read_params
from tagstudy.core.corpus import Corpus
from tagstudy.core.files import atomic_folder
from tagstudy.core.paths import FEATURES, POSTS, SPLITS
from tagstudy.core.processes import available_cores
from tagstudy.data.counts import write_counts
from tagstudy.features.dense import write_dense
from tagstudy.features.tfidf import write_tfidf

CORPORA = ["stack_exchange/crypto.csv.zip", "stack_exchange/biology.csv.zip", "so_titles"]
GENERATED = "titles.parquet"


def main() -> None:
    options = arguments(
        __doc__,
        rounds={"type": int, "default": 7},
        workers={"type": int, "default": available_cores(), "help": "processes that count"},
        titles={"type": int, "default": 1_000_000, "help": "how many are generated"},
    )
    print("corpus                           posts  study/s  sklearn/s  ratio")
    for name in [*CORPORA, GENERATED]:
        with TemporaryDirectory() as scratch, contextlib.chdir(scratch):
            if name == GENERATED:
                make_titles(Path(name), options.data, options.titles, tags=50)
            source = name if name == GENERATED else str(options.data / name)
            write_params(Path(), ingest={"source": source, "tags": 50, "min_tags": 1, "folds": 1})
            measure(Path(), ROOT / "src/ingest.py")
            corpus = Corpus(POSTS)
            blocks = {split: corpus.texts(corpus.is_in(split, 0)) for split in SPLITS}
            texts = {split: [str(text) for block in blocks[split] for text in block] for split in SPLITS}
            compute, params = Compute(workers=options.workers), read_params()
            study(params, compute)  # which imports
            rounds = [(seconds(study, params, compute), seconds(sklearn, texts)) for _ in range(options.rounds)]
        posts = sum(map(len, texts.values()))
        speeds = [posts / median(times) for times in zip(*rounds, strict=True)]
        ratio = median(other / own for own, other in rounds)
        print(f"{name:30} {posts:8,} {speeds[0]:8,.0f} {speeds[1]:10,.0f} {ratio:6.2f}", flush=True)


def study(params: Params, compute: Compute) -> None:
    with atomic_folder(Path("data/counted")) as folder:  # the same as ingest has written
        write_counts(folder, POSTS / "posts.parquet", compute)
    with atomic_folder(FEATURES / "dense", made_from=[POSTS]) as folder:
        write_dense(folder, Corpus(POSTS), params.featurize_dense, "cpu", None)
    with atomic_folder(FEATURES / "tfidf", made_from=[POSTS]) as folder:
        write_tfidf(folder, Corpus(POSTS), params.featurize_tfidf)


def sklearn(texts: dict[str, list[str]]) -> None:
    vectorizer = TfidfVectorizer()
    vectorizer.fit_transform(texts["train"])
    for split in ("valid", "test"):
        vectorizer.transform(texts[split])


def seconds(run: Callable[..., None], *arguments: object) -> float:
    start = time.perf_counter()
    run(*arguments)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
