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
from sklearn.metrics import f1_score, hamming_loss

from baselines import GRIDS
from bench import CONTESTANT, RESULTS, assess, best_setting, call, in_markdown
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
    write_params(folder, ingest={"source": "posts.jsonl", "tags": 3, "min_tags": 1, "folds": 1}, train={"runs": 2})
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
    row = assess(work, name)
    valid, test = (read_labels(Corpus(work / "data/posts"), split) for split in ("valid", "test"))
    y_score = np.load(work / f"results/{name}.npz")
    predicted = []  # of each run
    for run in range(len(y_score) // 2):
        thresholds = np.unique(y_score[f"valid{run}"])[::-1]
        micro_f1 = [f1_score(valid, y_score[f"valid{run}"] >= value, average="micro") for value in thresholds[:500]]
        predicted.append(y_score[f"test{run}"] >= thresholds[np.argmax(micro_f1)])
    assert row["micro_f1"] == pytest.approx(np.mean([f1_score(test, run, average="micro") for run in predicted]))
    assert row["macro_f1"] == pytest.approx(np.mean([f1_score(test, run, average="macro") for run in predicted]))
    assert row["hamming"] == pytest.approx(np.mean([hamming_loss(test, run) for run in predicted]))
    assert row["micro_f1"] > 0.72  # giving every tag to every post gets 2/3
    assert row["seconds"] > 0 and row["posts_per_second"] > 0 and row["peak_mb"] > 50


def test_a_baseline_takes_the_setting_that_does_best_on_valid(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(GRIDS, "logistic_regression", [{"c": 1e-6}, {"terms": "no such"}, {"c": 4}, {"c": 1e-5}])
    assert best_setting(work, "logistic_regression") == {"c": 4}
    assert assess(work, "grid/2")["valid_micro"] > assess(work, "grid/0")["valid_micro"]


def test_the_pages_have_the_results_as_they_were_measured() -> None:
    assert systems_in_markdown() in (ROOT / "docs/results.md").read_text(encoding="utf-8")
    assert in_markdown(pd.read_csv(RESULTS)) in (ROOT / "docs/baselines.md").read_text(encoding="utf-8")
