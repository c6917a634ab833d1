"""ship.py: both arms trained again on all posts; the folder tags posts anywhere, and is refused where it is damaged."""

import json
import shutil
import subprocess
import sys
from contextlib import chdir
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from conftest import ENVIRONMENT, ROOT, call
from safetensors.torch import load_file

import ship as ship_script
from tagstudy.core.checksums import SUMS, seal
from tagstudy.core.config import read_params
from tagstudy.core.corpus import Corpus, Text
from tagstudy.core.errors import UserError
from tagstudy.core.files import read_json
from tagstudy.core.paths import ARMS, DECISIONS, FEATURES, METRICS, MODELS, POSTS, PREDICTIONS, features_of_fold
from tagstudy.evaluation.systems import Assessor
from tagstudy.inference import Predictor
from tagstudy.inference.ship import Study, ship
from tagstudy.model.refit import epochs_of, refit
from tagstudy.predictions.decisions import read_decisions
from tagstudy.predictions.predictions import Predictions

TEXTS = ["How do I sort a list in python?", "Fade out a div with jquery when a button is clicked", "zzzz"]


@pytest.fixture(scope="module")
def study(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ship") / "study"
    shutil.copytree(finished, folder)
    return folder


@pytest.fixture(scope="module")
def shipped(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shipped folder, away from its study."""
    done = call(sys.executable, "src/ship.py", "--licence", "CC BY-SA 4.0: see LICENSE", cwd=study)
    assert done.returncode == 0, done.stderr
    posts = len(Corpus(study / POSTS))
    assert done.stdout.startswith("ship: shipped: trained the dense arm for ") and f"on {posts:,} posts" in done.stdout
    return (study / "shipped").rename(tmp_path_factory.mktemp("elsewhere") / "models")


def test_three_lines_of_python_and_predict_give_the_same_tags(shipped: Path, tmp_path: Path) -> None:
    program = (
        "import json, sys\nfrom tagstudy.inference import Predictor\n"
        "print(json.dumps(Predictor(sys.argv[1]).tags(json.loads(sys.argv[2]))))"
    )
    environment = ENVIRONMENT | {"PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-c", program, str(shipped), json.dumps(TEXTS)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    tags = json.loads(done.stdout)
    assert "jquery" in tags[1] and not tags[2]
    (tmp_path / "posts.jsonl").write_text("".join(json.dumps({"title": text}) + "\n" for text in TEXTS))
    arguments = ("--model", shipped, "--json", "--file", "posts.jsonl")
    done = call(sys.executable, ROOT / "src/predict.py", *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = map(json.loads, done.stdout.splitlines())
    assert [dict(zip(row["fusion_tags"], row["fusion_scores"], strict=True)) for row in rows] == tags


def test_the_card_has_the_scores_of_the_study_and_the_licence(shipped: Path, study: Path) -> None:
    card = (shipped / "README.md").read_text(encoding="utf-8")
    header, _, text = card.removeprefix("---\n").partition("---\n")
    assert yaml.safe_load(header)["license"] == "CC BY-SA 4.0: see LICENSE"
    scores = read_json(study / METRICS / "metrics.json")["fusion"]
    assert f"| {scores['micro_f1']:.4f} | {scores['macro_f1']:.4f} | {scores['hamming_loss']:.4f} |" in text
    assert all(tag in text for tag in read_json(study / POSTS / "tags.json"))


def test_all_posts_are_trained_on(shipped: Path, study: Path) -> None:
    """A word of test alone is in the vocabulary, which has words of two posts."""
    words = set(read_json(shipped / "sparse/vocabulary.json"))
    assert words > set(read_json(features_of_fold(study / FEATURES / "tfidf", 0) / "vocabulary.json"))


@pytest.mark.parametrize("arm", ARMS)
def test_on_the_posts_of_a_run_it_trains_the_network_of_the_run(study: Path, arm: str) -> None:
    with chdir(study):
        corpus, settings = Corpus(POSTS), getattr(read_params(), f"train_{arm}")
        [run, *_] = read_json(MODELS / arm / "model.json")["runs"]
        own = corpus.training_on(corpus.is_in("train", fold=0))
        studied = len(own.rows("train", fold=0))
        model, _ = refit(own, features_of_fold(FEATURES / ARMS[arm], 0), settings, studied, epochs_of([run], arm, ""))
        weights = load_file(MODELS / arm / "run-0/weights.safetensors")
    for name, values in model.state_dict().items():
        np.testing.assert_array_equal(values.numpy(), weights[name].numpy(), err_msg=name)


def test_decisions_of_a_run_are_those_of_the_study(study: Path) -> None:
    with chdir(study):
        evaluate = read_params().evaluate
        assessor = Assessor(Corpus(POSTS), evaluate.threshold, evaluate.calibrate)
        found = assessor.pooled_decisions({arm: Predictions(PREDICTIONS / arm) for arm in ARMS}, [0])
        studied = read_decisions(DECISIONS / "run-0.json")
    assert found.dense_weight == studied.dense_weight
    for name, decision in studied.systems.items():
        assert found.systems[name].threshold == pytest.approx(decision.threshold, abs=1e-6)
        for one, other in zip(found.systems[name].calibration or (), decision.calibration or (), strict=True):
            np.testing.assert_allclose(one, other)


def test_an_arm_alone_is_shipped_with_test_spared_the_same_each_time(study: Path, tmp_path: Path) -> None:
    sums = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        with chdir(study):
            opened = Study.open(read_params(), tmp_path / "cache", all_posts=False)
            ship(tmp_path / name, opened, ["sparse"], licence=None)
        files = [path for path in (tmp_path / name).rglob("*") if path.is_file()]
        sums.append({path.relative_to(tmp_path / name): path.read_bytes() for path in files})
        assert not opened.chosen[Corpus(study / POSTS).rows("test", 0)].any()
    assert sums[0] == sums[1]
    seal(tmp_path / "one")
    loaded = Predictor(tmp_path / "one")
    assert loaded.systems == ("sparse",)
    assert loaded.tags(TEXTS)[0] and loaded.explain(Text("a python list", "")).tags.keys() == {"sparse"}


def test_a_study_that_changes_meanwhile_is_not_shipped(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train_and_change(*arguments: Any) -> Any:
        shutil.copytree(study / PREDICTIONS / "dense", PREDICTIONS / "sparse", dirs_exist_ok=True)  # another's
        return refit(*arguments)

    monkeypatch.setattr("tagstudy.inference.ship.refit", train_and_change)
    shutil.copytree(study, tmp_path / "study")
    with chdir(tmp_path / "study"):
        opened = Study.open(read_params(), None, all_posts=False)
        with pytest.raises(UserError, match="a stage of the study has run while its arms were trained"):
            ship(tmp_path, opened, ["sparse"], licence=None)


DAMAGES = {
    "cut": ("sparse/weights.safetensors", lambda data: data[:-10], "damaged (its contents have changed)"),
    "changed": ("decisions.json", lambda data: data.replace(b"1", b"2", 1), "damaged (its contents have changed)"),
    "missing": ("dense/vocabulary.json", None, "missing"),
    "without checksums": (SUMS, None, f"its {SUMS} is missing"),
    "without its list": ("shipped.json", None, "missing"),
}


@pytest.mark.parametrize(("name", "change", "says"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_folder_is_refused(shipped: Path, tmp_path: Path, name: str, change, says: str) -> None:
    copy = tmp_path / "models"
    shutil.copytree(shipped, copy)
    path = copy / name
    data = path.read_bytes()
    path.unlink()
    if change:
        path.write_bytes(change(data))
    with pytest.raises(UserError) as refusal:
        Predictor(copy)
    assert says in str(refusal.value)
    assert str(refusal.value).endswith("; copy it again, or ship it again with src/ship.py")


def test_the_card_may_be_edited(shipped: Path, tmp_path: Path) -> None:
    shutil.copytree(shipped, tmp_path / "models")
    (tmp_path / "models/README.md").write_text("# Mine", encoding="utf-8")
    loaded = Predictor(tmp_path / "models")
    assert loaded.tags(TEXTS)[1]
    with pytest.raises(TypeError, match="not one text"):
        loaded.tags(TEXTS[1])


def test_a_folder_of_another_version_is_refused(shipped: Path, tmp_path: Path) -> None:
    copy = tmp_path / "models"
    shutil.copytree(shipped, copy)
    (copy / "shipped.json").write_text('{"format": 99}', encoding="utf-8")
    seal(copy)
    with pytest.raises(UserError, match="shipped by another version of this project; ship it again"):
        Predictor(copy)


def test_other_folders_are_not_replaced_and_old_studies_not_shipped(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["ship.py", "--output", "docs"])
    with chdir(study):
        with pytest.raises(UserError, match="docs exists and is not a shipped folder; name another"):
            ship_script.main()
        before = Path("params.yaml").read_text(encoding="utf-8")
        params = yaml.safe_load(before)
        params["train_sparse"]["dropout"] = 0.1
        Path("params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
        with pytest.raises(UserError, match=r"the study is not up to date \(train_sparse\); run `dvc repro`"):
            ship_script.check_study()
        Path("params.yaml").write_text(before, encoding="utf-8")


@pytest.mark.parametrize(("post", "raised"), [(None, TypeError), (3, TypeError), ("a \ud800", ValueError)])
def test_what_is_no_text_is_refused(shipped: Path, post: Any, raised: type[Exception]) -> None:
    with pytest.raises(raised):
        Predictor(shipped).tags(["a list", post])
