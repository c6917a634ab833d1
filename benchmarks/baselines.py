"""The baselines, each trained once with the settings that it is called with; bench.py tries all of their grids."""

import tempfile
import time
from itertools import product
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix
from scipy.special import expit
from sklearn.feature_extraction.text import TfidfVectorizer

from contestant import Result, TokenizedCorpus, read_corpus, timed

TERMS: dict[str, dict[str, Any]] = {  # the vocabularies that a linear model may choose from
    "5,000 words": {"max_features": 5000},
    "all words": {"min_df": 2},
    "all words and pairs": {"min_df": 2, "ngram_range": (1, 2)},
}
SOLVERS = (
    "-s 1 -c 0.125",
    "-s 1 -c 0.25",
    "-s 1 -c 0.5",
    "-s 1 -c 1",
    "-s 3 -c 0.5",
    "-s 3 -c 1",
    "-s 3 -c 2",
    "-s 7 -c 4",
)
GRIDS: dict[str, list[dict[str, Any]]] = {  # a baseline, and the arguments of its function that are tried
    "logistic_regression": [{"terms": terms, "c": c} for terms, c in product(TERMS, (1, 4, 16, 64, 256, 1024))],
    "fasttext": [
        {"pairs": pairs, "lr": lr, "epochs": epochs}
        for pairs, lr, epochs in product((False, True), (0.1, 0.25, 0.5, 1.0, 2.0, 4.0), (5, 25, 50))
    ],
    "libmultilabel": [{"terms": terms, "solver": solver} for terms, solver in product(TERMS, SOLVERS)],
}


def tfidf(corpus: TokenizedCorpus, terms: str) -> list[csr_matrix]:
    """TF-IDF of train, valid and test, [posts, terms]."""
    options = TERMS[terms]
    vectorizer = TfidfVectorizer(tokenizer=list, lowercase=False, token_pattern=None, sublinear_tf=True, **options)
    train = vectorizer.fit_transform(corpus.tokens["train"])
    return [csr_matrix(rows) for rows in (train, *(vectorizer.transform(corpus.tokens[s]) for s in ("valid", "test")))]


def logistic_regression(fold: int, terms: str = "all words", c: float = 4) -> Result:
    """scikit-learn's one-vs-rest logistic regression on its TF-IDF."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier

    corpus = read_corpus(fold)
    train, valid, test = tfidf(corpus, terms)
    model = OneVsRestClassifier(LogisticRegression(C=c, solver="liblinear"))
    start = time.perf_counter()
    model.fit(train, corpus.labels["train"])
    seconds = time.perf_counter() - start
    y_score, speed = timed(lambda: model.predict_proba(test))
    parameters = (train.shape[1] + 1) * len(model.estimators_)
    return Result(model.predict_proba(valid), y_score, seconds, parameters, speed)


def libmultilabel(fold: int, terms: str = "all words", solver: str = "-s 1 -c 0.25") -> Result:
    """LibMultiLabel's linear one-vs-rest: squared hinge (-s 1), hinge (-s 3) or logistic loss (-s 7) by LIBLINEAR."""
    from libmultilabel import linear

    corpus = read_corpus(fold)
    labels = csr_matrix(corpus.labels["train"].astype(int))
    train, valid, test = (rows.astype(np.float64) for rows in tfidf(corpus, terms))
    start = time.perf_counter()
    model = linear.train_1vsrest(labels, train, multiclass=False, options=f"{solver} -B 1 -q", verbose=False)
    seconds = time.perf_counter() - start
    # Decision values; expit keeps their order.
    y_score, speed = timed(lambda: expit(linear.predict_values(model, test)))
    parameters = (train.shape[1] + 1) * labels.shape[1]
    return Result(expit(linear.predict_values(model, valid)), y_score, seconds, parameters, speed)


def fasttext(fold: int, pairs: bool = False, lr: float = 0.25, epochs: int = 5) -> Result:
    """fastText's supervised mode with one-vs-all loss.

    Two threads update the same weights without a lock, so that runs differ a little. Raises RuntimeError where training
    diverges, even with one thread.
    """
    import fasttext as library

    # Its defaults, for the number of parameters: its matrices can only be read as copies.
    dim, buckets = 100, 2_000_000 if pairs else 0
    corpus = read_corpus(fold)
    lines = {split: [" ".join(tokens) + "\n" for tokens in corpus.tokens[split]] for split in corpus.tokens}
    tags = corpus.labels["train"].shape[1]
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        for labels, line in zip(corpus.labels["train"], lines["train"], strict=True):
            file.write(" ".join(f"__label__{tag}" for tag in np.flatnonzero(labels)) + " " + line)
        file.flush()
        options = {"wordNgrams": 2 if pairs else 1, "bucket": buckets, "dim": dim, "lr": lr, "epoch": epochs}
        for threads in (2, 2, 2, 1):  # NaN weights raise RuntimeError
            start = time.perf_counter()
            try:
                model = library.train_supervised(file.name, loss="ova", thread=threads, verbose=0, **options)
                break
            except RuntimeError:
                if threads == 1:
                    raise
        seconds = time.perf_counter() - start

    def predict(split: str) -> np.ndarray:
        y_score = np.zeros((len(lines[split]), tags), dtype=np.float32)
        for row, line in enumerate(lines[split]):
            for probability, label in model.f.predict(line, -1, 0.0, "strict"):
                y_score[row, int(label.removeprefix("__label__"))] = probability
        return y_score.clip(max=1)  # it adds 0.00001 to each

    test, speed = timed(lambda: predict("test"))
    parameters = dim * (len(model.words) + buckets + tags)
    return Result(predict("valid"), test, seconds, parameters, speed)
