"""benchmarks/: contestants whose packages are here run on made-up posts; the table agrees with scikit-learn."""

import json
import random
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, call, write_params
from sklearn.metrics import f1_score, hamming_loss

sys.path.insert(0, str(ROOT / "benchmarks"))

from baselines import GRIDS
from compare import RESULTS, assess, compete, in_markdown
from contestant import CONTESTANTS
from results import FOLDER, scores_and_costs
from tagstudy.core.store import read_labels
from tagstudy.evaluation.scoring import best_threshold

WORDS = {"python": "list dict pip", "java": "jvm spring maven", "c#": "linq wpf unity"}


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work folder of 1,000 posts of one or two tags, each with a word that gives it away, ingested and featurized."""
    folder, rng = tmp_path_factory.mktemp("work"), random.Random(0)
    with (folder / "posts.jsonl").open("w") as file:
        for number in range(1000):
            tags = rng.sample(list(WORDS), rng.choice([1, 2]))
            words = [rng.choice(WORDS[tag].split()) for tag in tags] + rng.choices(["how", "to", "use"], k=5)
            file.write(json.dumps({"id": number, "title": " ".join([*words, str(number)]), "tags": tags}) + "\n")
    write_params(folder, ingest={"source": "posts.jsonl", "tags": 3, "min_tags": 1}, train={"runs": 2})
    for stage in ("ingest", "featurize_dense", "featurize_tfidf"):
        done = call(sys.executable, ROOT / f"src/{stage}.py", cwd=folder)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("name", CONTESTANTS)
def test_a_contestant_learns_and_is_scored_as_scikit_learn_would(
    name: str, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name in ("fasttext", "libmultilabel") and not find_spec(name):
        pytest.skip(f"{name} is not installed: requirements-bench.txt")
    done = call(sys.executable, ROOT / "benchmarks/contestant.py", name, cwd=work)
    assert done.returncode == 0, done.stderr
    row = assess(work, name)
    monkeypatch.chdir(work)
    tags = json.loads(Path("data/posts/tags.json").read_text())
    labels = {split: read_labels(split, tags) for split in ("valid", "test")}
    given = np.load(f"results/{name}.npz")
    runs = [
        given[f"test{run}"] >= best_threshold(labels["valid"], given[f"valid{run}"]) for run in range(len(given) // 2)
    ]
    assert row["micro_f1"] == pytest.approx(np.mean([f1_score(labels["test"], run, average="micro") for run in runs]))
    assert row["macro_f1"] == pytest.approx(np.mean([f1_score(labels["test"], run, average="macro") for run in runs]))
    assert row["hamming"] == pytest.approx(np.mean([hamming_loss(labels["test"], run) for run in runs]))
    assert row["micro_f1"] > 0.72  # giving every tag to every post gets 2/3
    assert row["seconds"] > 0 and row["posts_per_second"] > 0 and row["peak_mb"] > 50


def test_a_peer_takes_the_setting_that_does_best_on_valid(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(GRIDS, "logistic_regression", [{"c": 1e-6}, {"terms": "no such"}, {"c": 4}, {"c": 1e-5}])
    compete(work, "logistic_regression")
    assert json.loads((work / "results/logistic_regression.json").read_text())["settings"] == {"c": 4}
    assert assess(work, "logistic_regression")["valid_micro"] > assess(work, "grid/0")["valid_micro"]


def test_the_readme_has_the_results_as_they_were_measured() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert scores_and_costs(pd.read_csv(FOLDER / "results.csv")) in readme
    assert in_markdown(pd.read_csv(RESULTS)) in readme
