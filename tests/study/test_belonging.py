"""Posts, features, models and thresholds that do not belong together give no tags but a line that says what to run."""

import shutil
from contextlib import chdir
from pathlib import Path
from types import ModuleType

import pytest
from conftest import run_stage, write_params

import evaluate
import featurize_tfidf
import ingest
import train_dense
from tagstudy.core.checksums import SUMS, seal
from tagstudy.core.errors import UserError
from tagstudy.core.files import read_json, write_json
from tagstudy.inference.predictor import Predictor

TEXT = "How do I bind a click handler to rows added later?"
OTHER_TAGS = ["jquery", "asp.net", "c#", "java", "android", "php", "c++", "python", "iphone", "javascript"]
MODELS = ("data/models/dense", "data/models/sparse")


@pytest.fixture
def study(finished: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "study"
    shutil.copytree(finished, folder, ignore=shutil.ignore_patterns(".dvc", ".git"))
    return folder


def made_otherwise(study: Path, folder: str, *made_from: str) -> None:
    """A folder as a stage makes it that ran alone, with other parameters."""
    write_json(study / folder / "another.json", "other parameters")
    seal(study / folder, *(study / source for source in made_from))


def tags(study: Path) -> list[dict[str, float]]:
    with chdir(study):
        return Predictor(device="cpu").tags([TEXT])


def test_other_tags_in_posts_alone_change_no_prediction(study: Path) -> None:
    before = tags(study)
    write_params(study, ingest={"folds": 3, "tags": OTHER_TAGS[:4], "min_tags": 1})
    assert run_stage(ingest, study).returncode == 0
    assert set(read_json(study / "data/posts/tags.json")) == set(OTHER_TAGS[:4])
    assert tags(study) == before


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"data/features/dense": ["data/posts"]}, "data/models/dense was not made from this data/features/dense"),
        ({"data/features/tfidf": ["data/posts"]}, "data/models/sparse was not made from this data/features/tfidf"),
        (
            {"data/models/dense": ["data/posts", "data/features/dense"]},
            "data/decisions was not made from this data/models/dense",
        ),
        (
            {"data/models/sparse": ["data/posts", "data/features/tfidf"]},
            "data/decisions was not made from this data/models/sp",
        ),
    ],
)
def test_predict_finds_out_which_stage_ran_alone(study: Path, changes: dict[str, list[str]], says: str) -> None:
    for folder, made_from in changes.items():
        made_otherwise(study, folder, *made_from)
    with pytest.raises(UserError, match=f"^{says}.*; run `dvc repro`, or `dvc checkout` after a `git checkout`$"):
        tags(study)


def test_git_checkout_alone_is_found_out(study: Path) -> None:
    """Then metrics/ is that of another commit, and data/ is not."""
    other = study.parent / "other"
    shutil.copytree(study, other)
    made_otherwise(other, MODELS[1], "data/posts", "data/features/tfidf")
    seal(other / "data/decisions", *(other / folder for folder in MODELS))
    seal(other / "metrics", other / "data/decisions")
    assert tags(other)
    shutil.rmtree(study / "metrics")
    shutil.copytree(other / "metrics", study / "metrics")
    with pytest.raises(UserError, match="metrics was not made from this data/decisions"):
        tags(study)


@pytest.mark.parametrize("folder", ["data/features/dense", *MODELS, "data/decisions", "metrics"])
def test_without_checksums_there_are_no_tags(study: Path, folder: str) -> None:
    """As of an earlier version, or where a file was lost."""
    (study / folder / SUMS).unlink()
    with pytest.raises(FileNotFoundError, match=f"{folder}/{SUMS}"):
        tags(study)


@pytest.mark.parametrize(
    ("stage", "changed", "says"),
    [
        (train_dense, "data/posts", "data/features/dense was not made from this data/posts"),
        (evaluate, "data/posts", "data/predictions/dense was not made from this data/posts"),
        (evaluate, "data/models/sparse", "data/predictions/sparse was not made from this data/models/sparse"),
    ],
)
def test_a_stage_finds_out_what_does_not_belong_together(
    study: Path, stage: ModuleType, changed: str, says: str
) -> None:
    before = (study / "data/decisions/run-0.json").read_bytes()
    made_otherwise(study, changed)
    done = run_stage(stage, study)
    assert done.returncode == 1
    assert done.stderr.startswith(f"{stage.__name__}: {says}") and len(done.stderr.splitlines()) == 1
    assert (study / "data/decisions/run-0.json").read_bytes() == before


@pytest.mark.parametrize("damage", ["other words", "half"])
def test_a_damaged_file_is_told_with_the_stage_that_writes_it(study: Path, damage: str) -> None:
    path = study / "data/features/tfidf/fold-0/vocabulary.json"
    words = read_json(path)
    path.write_text(path.read_text()[:99] if damage == "half" else str([*words[1:], "x"]).replace("'", '"'))
    with pytest.raises(UserError, match=r"vocabulary\.json: damaged .*; run `dvc repro --force featurize_tfidf`$"):
        tags(study)
    before = (study / "data/models/sparse" / SUMS).read_bytes()
    assert run_stage(featurize_tfidf, study).returncode == 0
    assert read_json(path) == words and (study / "data/models/sparse" / SUMS).read_bytes() == before
    assert tags(study)
