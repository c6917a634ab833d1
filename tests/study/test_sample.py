"""The sample that the repository ships: what its script writes, like the original study's posts, and not easy."""

import json
import sys
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, call, run_stage, write_params
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.multiclass import OneVsRestClassifier

import ingest
from tagstudy.core.corpus import Corpus
from tagstudy.core.paths import SPLITS
from tagstudy.data.text import tokenize
from tagstudy.predictions.thresholds import ThresholdSearch

SAMPLE = ROOT / "data/sample/Posts.xml"
WEIGHTS = {
    "javascript": 0.58, "jquery": 0.53, "asp.net": 0.26, "c#": 0.22, "java": 0.18,
    "android": 0.16, "php": 0.12, "c++": 0.016, "python": 0.012, "iphone": 0.006,
}  # fmt: skip


@pytest.fixture(scope="module")
def posts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which ingest has read the sample."""
    folder = tmp_path_factory.mktemp("sample")
    write_params(folder, ingest={"source": str(SAMPLE), "folds": 1})
    done = run_stage(ingest, folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_script_writes_the_committed_file(tmp_path: Path) -> None:
    call(sys.executable, ROOT / "data/sample/write_sample.py", tmp_path / "Posts.xml", cwd=tmp_path)
    assert (tmp_path / "Posts.xml").read_bytes() == SAMPLE.read_bytes()
    assert SAMPLE.stat().st_size <= 3_000_000


def test_tags_are_as_frequent_as_in_the_original_study(posts: Path) -> None:
    summary = json.loads((posts / "data/posts/summary.json").read_text())
    assert 5_800 < summary["kept"] < 6_200
    assert summary["merged"] > 0 and summary["too_few_tags"] > 0 and summary["skipped"]["answer"] > 100
    counts = summary["tags"]
    assert {tag: counts[tag] / summary["kept"] for tag in counts} == pytest.approx(WEIGHTS, abs=0.01)
    assert sum(counts.values()) / summary["kept"] == pytest.approx(2.08, abs=0.02)


def test_logistic_regression_finds_it_neither_easy_nor_hopeless(posts: Path) -> None:
    corpus = Corpus(posts / "data/posts")
    texts = {split: list(map(str, chain.from_iterable(corpus.texts(corpus.is_in(split, 0))))) for split in SPLITS}
    labels = {split: corpus.labels.take(corpus.rows(split, 0)).toarray() for split in SPLITS}
    vectorizer = TfidfVectorizer(tokenizer=tokenize, token_pattern=None, lowercase=False, sublinear_tf=True)
    model = OneVsRestClassifier(LogisticRegression(C=10, solver="liblinear"))
    model.fit(vectorizer.fit_transform(texts["train"]), labels["train"])
    valid, test = (model.predict_proba(vectorizer.transform(texts[split])) for split in ("valid", "test"))
    search = ThresholdSearch()
    search.update(valid.ravel(), labels["valid"].ravel() > 0, labels["valid"].sum())
    for threshold in (0.5, search.best().value):
        assert 0.80 < f1_score(labels["test"], test >= threshold, average="micro") < 0.90


def test_a_tag_s_name_is_often_missing_from_the_text(posts: Path) -> None:
    corpus = Corpus(posts / "data/posts")
    texts = chain.from_iterable(corpus.texts(corpus.is_in("train", 0)))
    named = np.array([[tag in str(text).lower() for tag in corpus.tags] for text in texts])
    assert named[corpus.labels.take(corpus.rows("train", 0)).toarray() > 0].mean() < 0.5
