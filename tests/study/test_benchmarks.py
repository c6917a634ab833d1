"""benchmarks/: contestants whose packages are here run on made-up posts; the table agrees with scikit-learn."""

import json
import random
import runpy
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, write_params
from sklearn.metrics import f1_score

import growth
import tuning
from baselines import GRIDS
from bench import CONTESTANT, NAMES, RESULTS, best_setting, call, compare, valid_micro_f1
from bench import in_markdown as baselines_in_markdown
from contestant import CONTESTANTS
from dense_scores import read_labels
from results import in_markdown as systems_in_markdown
from tagstudy.core.corpus import Corpus

SCRIPTS = sorted((ROOT / "benchmarks").glob("*.py"))
WORDS = {"python": "list dict pip", "java": "jvm spring maven", "c#": "linq wpf unity"}


@pytest.fixture(autouse=True)
def library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Contestants are processes of their own: they find the library where it is not installed, too."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work folder of 1,000 posts of one or two tags, each with a word of its tags, ingested and featurized."""
    folder, rng = tmp_path_factory.mktemp("work"), random.Random(0)
    with (folder / "posts.jsonl").open("w") as file:
        for number in range(1000):
            tags = rng.sample(list(WORDS), rng.choice([1, 2]))
            words = [rng.choice(WORDS[tag].split()) for tag in tags] + rng.choices(["how", "to", "use"], k=5)
            file.write(json.dumps({"id": number, "title": " ".join([*words, str(number)]), "tags": tags}) + "\n")
    write_params(folder, ingest={"source": "posts.jsonl", "tags": 3, "min_tags": 1, "folds": 3})
    for stage in ("ingest", "featurize_dense", "featurize_tfidf"):
        assert call(folder, f"src/{stage}.py")
    return folder


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_script_finds_all_that_it_imports(script: Path) -> None:
    assert runpy.run_path(str(script))["__doc__"]


@pytest.mark.parametrize("name", CONTESTANTS)
def test_a_contestant_learns_and_is_scored_as_scikit_learn_would(name: str, work: Path) -> None:
    if name in ("fasttext", "libmultilabel") and not find_spec(name):
        pytest.skip(f"{name} is not installed: requirements-bench.txt")
    assert call(work, CONTESTANT, name)
    [row] = compare(work, [name]).to_dict("records")
    corpus, y_score = Corpus(work / "data/posts"), np.load(work / f"results/{name}.npz")
    test, predicted = [], []  # of each fold
    for fold in range(corpus.folds):
        valid, scores = read_labels(corpus, "valid", fold), y_score[f"valid{fold}"]
        order = np.argsort(-scores.ravel(), kind="stable")
        micro_f1 = 2 * valid.ravel()[order].cumsum() / (np.arange(1, valid.size + 1) + valid.sum())
        micro_f1[:-1][np.diff(scores.ravel()[order]) == 0] = 0  # between equal scores is no threshold
        predicted.append(y_score[f"test{fold}"] >= scores.ravel()[order][np.argmax(micro_f1)])
        test.append(read_labels(corpus, "test", fold))
    assert row["micro_f1"] == pytest.approx(f1_score(np.concatenate(test), np.concatenate(predicted), average="micro"))
    assert row["micro_f1"] > 0.68  # giving every tag to every post gets 2/3
    assert row["low"] < row["micro_f1"] < row["high"] or row["micro_f1"] == 1  # which has no variance
    assert row["seconds"] > 0 and row["posts_per_second"] > 0 and row["peak_mb"] > 50


def test_a_baseline_takes_the_setting_that_does_best_on_valid(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(GRIDS, "logistic_regression", [{"c": 1e-6}, {"terms": "no such"}, {"c": 4}, {"c": 1e-5}])
    assert best_setting(work, "logistic_regression") == {"c": 4}
    assert valid_micro_f1(work, "grid/2") > valid_micro_f1(work, "grid/0")


def test_contestants_are_compared_in_one_table(work: Path) -> None:
    for name in ("sparse", "logistic_regression"):
        if not (work / f"results/{name}.npz").exists():
            assert call(work, CONTESTANT, name)
    table = compare(work, ["sparse", "logistic_regression"]).assign(corpus="so_titles, 10 tags")
    assert table["tied"].all()  # they predict the same for nearly all posts
    lines = baselines_in_markdown(table).splitlines()
    for row in table.itertuples():
        assert any(NAMES[row.contestant] in line and f"{row.micro_f1:.3f}" in line for line in lines)


def test_the_pages_have_the_results_as_they_were_measured() -> None:
    results, baselines, scaling, tuned = (
        (ROOT / f"docs/{page}.md").read_text(encoding="utf-8") for page in ("results", "baselines", "scaling", "tuning")
    )
    assert systems_in_markdown() in results
    assert baselines_in_markdown(pd.read_csv(RESULTS)) in baselines
    assert tuning.in_markdown(pd.read_csv(tuning.TABLE)) in tuned
    assert growth.in_markdown("titles") in scaling
