"""The peers at their best: settings chosen from a grid by validation micro-F1; only the winner's seconds count."""

import tempfile
import time
from collections.abc import Iterable

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer

from contestant import Corpus, Result, read_corpus, timed, tuned_micro_f1

TERMS = {  # the vocabularies that a linear model may choose from
    "5,000 words": {"max_features": 5000},
    "all words": {"min_df": 2},
    "all words and pairs": {"min_df": 2, "ngram_range": (1, 2)},
}


def best(corpus: Corpus, results: Iterable[Result]) -> list[Result]:
    """The one with the highest validation micro-F1 at its own threshold."""
    return [max(results, key=lambda result: tuned_micro_f1(corpus.labels["valid"], result.valid))]


def tfidf(corpus: Corpus, **options: object) -> list[csr_matrix]:
    """TF-IDF of train, valid and test, [posts, terms]."""
    vectorizer = TfidfVectorizer(tokenizer=list, lowercase=False, token_pattern=None, sublinear_tf=True, **options)
    train = vectorizer.fit_transform(corpus.tokens["train"])
    return [csr_matrix(rows) for rows in (train, *(vectorizer.transform(corpus.tokens[s]) for s in ("valid", "test")))]


def logistic_regression() -> list[Result]:
    """scikit-learn's one-vs-rest logistic regression on its TF-IDF."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier

    def candidates(corpus: Corpus) -> Iterable[Result]:
        for name, options in TERMS.items():
            train, valid, test = tfidf(corpus, **options)
            for c in (2, 4, 8, 16):
                start = time.perf_counter()
                model = OneVsRestClassifier(LogisticRegression(C=c, solver="liblinear"))
                model.fit(train, corpus.labels["train"])
                seconds = time.perf_counter() - start
                found, speed = timed(lambda: model.predict_proba(test))  # noqa: B023  # called at once
                parameters = (train.shape[1] + 1) * len(model.estimators_)
                yield Result(model.predict_proba(valid), found, seconds, parameters, f"{name}, C={c}", speed)

    corpus = read_corpus()
    return best(corpus, candidates(corpus))


def libmultilabel() -> list[Result]:
    """LibMultiLabel's linear one-vs-rest: squared hinge (-s 1), hinge (-s 3) and logistic loss (-s 7) by LIBLINEAR."""
    from libmultilabel import linear

    def candidates(corpus: Corpus) -> Iterable[Result]:
        labels = csr_matrix(corpus.labels["train"].astype(int))
        for name, options in TERMS.items():
            train, valid, test = (rows.astype(np.float64) for rows in tfidf(corpus, **options))
            for solver in ("-s 1 -c 0.25", "-s 1 -c 0.5", "-s 1 -c 1", "-s 3 -c 0.5", "-s 3 -c 1", "-s 7 -c 4"):
                start = time.perf_counter()
                model = linear.train_1vsrest(
                    labels, train, multiclass=False, options=f"{solver} -B 1 -q", verbose=False
                )
                seconds = time.perf_counter() - start
                found, speed = timed(lambda: linear.predict_values(model, test))  # noqa: B023  # called at once
                parameters = (train.shape[1] + 1) * labels.shape[1]
                found_valid = linear.predict_values(model, valid)
                yield Result(found_valid, found, seconds, parameters, f"{name}, {solver}", speed)

    corpus = read_corpus()
    return best(corpus, candidates(corpus))


def fasttext() -> list[Result]:
    """fastText's supervised mode with one-vs-all loss and two threads, whose race makes each run a little different."""
    import fasttext as library

    def train(path: str, **options: object) -> tuple[object, float]:
        for threads in (2, 2, 2, 2, 2, 2, 1):  # fastText says so when its weights are no longer numbers
            start = time.perf_counter()
            try:
                model = library.train_supervised(path, loss="ova", thread=threads, epoch=25, verbose=0, **options)
            except RuntimeError:
                continue
            return model, time.perf_counter() - start
        raise RuntimeError("fastText diverged with one thread too")

    def candidates(corpus: Corpus) -> Iterable[Result]:
        lines = {split: [" ".join(tokens) + "\n" for tokens in corpus.tokens[split]] for split in corpus.tokens}
        tags = corpus.labels["train"].shape[1]

        def predict(model: object, split: str) -> np.ndarray:
            found = np.zeros((len(lines[split]), tags), dtype=np.float32)
            for row, line in enumerate(lines[split]):
                for probability, label in model.f.predict(line, -1, 0.0, "strict"):  # type: ignore[attr-defined]
                    found[row, int(label.removeprefix("__label__"))] = probability
            return found

        with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
            for own, line in zip(corpus.labels["train"], lines["train"], strict=True):
                file.write(" ".join(f"__label__{tag}" for tag in np.flatnonzero(own)) + " " + line)
            file.flush()
            for pairs in (1, 2):
                for lr in (0.1, 0.25, 0.5, 1.0):
                    try:
                        model, seconds = train(file.name, wordNgrams=pairs, lr=lr)
                    except RuntimeError:
                        continue
                    test, speed = timed(lambda: predict(model, "test"))  # noqa: B023  # called at once
                    sizes = model.get_input_matrix().size + model.get_output_matrix().size  # type: ignore[attr-defined]
                    settings = f"wordNgrams={pairs}, lr={lr}"
                    yield Result(predict(model, "valid"), test, seconds, sizes, settings, speed)

    corpus = read_corpus()
    return best(corpus, candidates(corpus))
