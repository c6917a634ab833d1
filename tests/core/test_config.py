"""config.py: numbers as DVC writes them, ranges, and every problem in one line."""

import copy
import re
from pathlib import Path

import pytest
import yaml
from conftest import PARAMS, ROOT, write_params
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tagstudy.core.config import read_params
from tagstudy.core.errors import UserError


def message(folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_params(folder / "params.yaml")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_repository_s_parameters_are_valid() -> None:
    read_params(ROOT / "params.yaml")


def test_arms_inherit_what_they_do_not_override(tmp_path: Path) -> None:
    write_params(tmp_path, train={"epochs": 7, "lr": 0.5}, train_sparse={"epochs": 0}, train_dense={"lr": 0.25})
    params = read_params(tmp_path / "params.yaml")
    assert (params.train_sparse.epochs, params.train_dense.epochs) == (0, 7)
    assert (params.train_sparse.lr, params.train_dense.lr) == (0.5, 0.25)


def test_null_in_an_arm_switches_off_what_it_switches_off_in_train(tmp_path: Path) -> None:
    write_params(tmp_path, train_dense={"clip_value": None})
    params = read_params(tmp_path / "params.yaml")
    assert params.train_dense.clip_value is None
    assert params.train_sparse.clip_value == PARAMS["train"]["clip_value"]
    write_params(tmp_path, train_dense={"epochs": None})
    assert "train_dense.epochs: Input should be a valid integer, not None" in message(tmp_path)


def test_the_part_of_the_chosen_embedding_goes_before_its_arm(tmp_path: Path) -> None:
    parts = {"encoder": {"lr": 0.125}, "finetuned": {"lr": 0.0625}}
    write_params(tmp_path, train_dense={"lr": 0.25} | parts)
    assert read_params(tmp_path / "params.yaml").train_dense.lr == 0.25
    write_params(tmp_path, featurize_dense={"embedding": "encoder"}, train_dense={"lr": 0.25} | parts)
    assert read_params(tmp_path / "params.yaml").train_dense.lr == 0.125
    write_params(tmp_path, featurize_dense={"embedding": "finetuned"}, train_dense={"lr": 0.25} | parts)
    assert read_params(tmp_path / "params.yaml").train_dense.lr == 0.0625


@pytest.mark.parametrize("embedding", ["learned", "encoder", "finetuned"])
def test_a_part_is_checked_whether_or_not_it_is_chosen(tmp_path: Path, embedding: str) -> None:
    write_params(tmp_path, featurize_dense={"embedding": embedding}, train_dense={"finetuned": {"hiden": 1}})
    assert message(tmp_path).endswith("train_dense.finetuned.hiden: no such parameter; did you mean hidden?")


def test_only_the_dense_arm_has_parts(tmp_path: Path) -> None:
    write_params(tmp_path, featurize_dense={"embedding": "encoder"}, train_sparse={"encoder": {"epochs": 3}})
    assert "train_sparse.encoder: no such parameter" in message(tmp_path)


@pytest.mark.parametrize(
    ("embedding", "arm", "fine"),
    [
        ("static", "train_dense", True),
        ("learned", "train_dense", False),
        ("encoder", "train_dense", False),
        ("static", "train_sparse", False),
    ],
)
def test_only_a_pretrained_embedding_can_be_frozen(tmp_path: Path, embedding: str, arm: str, fine: bool) -> None:
    write_params(tmp_path, featurize_dense={"embedding": embedding}, **{arm: {"freeze": True}})
    if fine:
        assert read_params(tmp_path / "params.yaml").train_dense.freeze
    else:
        assert "train_dense.freeze" in message(tmp_path)


def test_subwords_and_freeze_exclude_each_other(tmp_path: Path) -> None:
    subwords = {"embedding": "word2vec", "subwords": True}
    write_params(tmp_path, featurize_dense=subwords)
    assert read_params(tmp_path / "params.yaml").featurize_dense.subwords
    write_params(tmp_path, featurize_dense=subwords, train_dense={"freeze": True})
    assert "featurize_dense.subwords" in message(tmp_path) and "train_dense.freeze" in message(tmp_path)


def test_a_part_may_freeze_what_another_embedding_could_not(tmp_path: Path) -> None:
    write_params(tmp_path, train_dense={"glove": {"freeze": True}})
    assert not read_params(tmp_path / "params.yaml").train_dense.freeze
    write_params(tmp_path, featurize_dense={"embedding": "glove"}, train_dense={"glove": {"freeze": True}})
    assert read_params(tmp_path / "params.yaml").train_dense.freeze


def test_a_number_that_yaml_reads_as_text_is_a_number(tmp_path: Path) -> None:
    """`dvc exp run -S train.lr=1e-5` writes 1e-05, which YAML 1.1 does not take for a number."""
    write_params(tmp_path)
    text = (tmp_path / "params.yaml").read_text(encoding="utf-8")
    (tmp_path / "params.yaml").write_text(text.replace("  lr: 0.002", "  lr: 1e-05"), encoding="utf-8")
    assert read_params(tmp_path / "params.yaml").train_dense.lr == 1e-5


@pytest.mark.parametrize(
    ("section", "change", "says"),
    [
        ("train", {"dropout": 1}, "train.dropout"),
        ("train", {"lr": 0}, "train.lr"),
        ("train", {"lr": "fast"}, "not 'fast'"),
        ("train", {"hidden": [0]}, "train.hidden"),
        ("train", {"activation": "swish"}, "train.activation"),
        ("train", {"device": "gpu"}, "train.device"),
        ("train_dense", {"device": "cpu"}, "train.device: applies to both arms"),
        ("train_sparse", {"top_tags": 50}, "train.top_tags: applies to both arms; remove top_tags"),
        ("train", {"hiden": [1]}, "train.hiden: no such parameter; did you mean hidden?"),
        ("train_sparse", {"epochs": -1}, "train_sparse.epochs"),
        ("ingest", {"tags": 0}, "ingest.tags"),
        ("ingest", {"tags": []}, "ingest.tags"),
        ("ingest", {"tags": ["a", "a"], "min_tags": 1}, "twice"),
        ("ingest", {"tags": ["a"], "min_tags": 2}, "min_tags"),
        ("ingest", {"valid": 0.6, "test": 0.4}, "no posts to train on"),
        ("ingest", {"split": "half"}, "ingest.split"),
        ("ingest", {"unseen_tags": "drop"}, "ingest.unseen_tags"),
        ("ingest", {"folds": 0}, "ingest.folds"),
        ("ingest", {"folds": 2}, "folds: 2 is too few: .*; use 1, or 3 and more"),
        ("train", {"runs": "some"}, "train.runs: .*not 'some'"),
        ("train", {"min_steps": 0}, "train.min_steps: .*greater than or equal to 1"),
        ("train", {"max_steps": 0}, "train.max_steps: .*greater than or equal to 1"),
        ("evaluate", {"margin": -0.1}, "evaluate.margin"),
        ("featurize_dense", {"embedding": "bert"}, "featurize_dense.embedding"),
        ("featurize_dense", {"truncate_dim": 0}, "featurize_dense.truncate_dim"),
        ("featurize_dense", {"max_length": "long"}, "featurize_dense.max_length"),
        ("featurize_dense", {"dtype": "int4"}, "featurize_dense.dtype"),
        ("featurize_dense", {"prompt": 7}, "featurize_dense.prompt"),
        ("featurize_dense", {"trust_remote_code": True}, "featurize_dense.trust_remote_code: no such parameter"),
        ("train_dense", {"layer_decay": 0}, "train_dense.layer_decay"),
        ("train_dense", {"encoder": {"lr": "fast"}}, "train_dense.encoder.lr: .*not 'fast'"),
        ("train_dense", {"encoder": {"foo": 1}}, "train_dense.encoder.foo: no such parameter"),
        ("train", {"min_steps": 20, "max_steps": 10, "epochs": 1}, "min_steps: 20 is more than max_steps .10.; lower"),
        ("train", {"min_steps": 1, "max_steps": 3, "epochs": 4}, "epochs: 4 is more than max_steps .3.; lower"),
        ("train_dense", {"encoder": 7}, "train_dense.encoder: no such parameter"),
        ("train_dense", {"word2vec": {"epochss": 5}}, "did you mean epochs"),
        ("evaluate", {"threshold": 1.5}, "evaluate.threshold"),
        ("featurize_tfidf", {"max_ngram": 0}, "featurize_tfidf.max_ngram"),
        ("compute", {"workers": 0}, "compute.workers: Input should be greater than or equal to 1"),
        ("compute", {"address": "a:1"}, "compute: address: is that of a Ray cluster"),
        ("compute", {"engine": "ray", "address": "a:1", "workers": 2}, "compute: workers: a cluster at an address has"),
    ],
)
def test_a_bad_value_is_named(tmp_path: Path, section: str, change: dict, says: str) -> None:
    write_params(tmp_path, **{section: change})
    assert re.search(says, message(tmp_path))


def test_all_problems_are_told_at_once_and_each_once(tmp_path: Path) -> None:
    write_params(tmp_path, train={"lr": -1}, ingest={"valid": 2}, featurize_dense={"min_count": 0})
    told = message(tmp_path)
    assert [told.count(name) for name in ("train.lr", "ingest.valid", "featurize_dense.min_count")] == [1, 1, 1]
    assert "train_dense" not in told


ALIASES = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10))


@pytest.mark.parametrize(
    "text",
    [
        *("", "- 1", "a: [", "\x00", "a: 2020-99-99", "a: " + "9" * 5000, "? [a]\n: b", "x" * 100_000),
        *(ALIASES, "ingest: " + "[" * 5000, "ingest: " + "[" * 5000 + "]" * 5000, "a: &a [*a]", "a: {" * 5000),
        "".join(f"key{number}: 1\n" for number in range(1000)),
    ],
)
def test_a_file_that_is_no_params_yaml(tmp_path: Path, text: str) -> None:
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    assert "params.yaml" in message(tmp_path)
    assert len(message(tmp_path)) < 2000


@pytest.mark.parametrize(
    ("section", "name"),
    [
        (section, name)
        for section, values in PARAMS.items()
        for name, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    ],
)
def test_every_number_has_an_upper_end(tmp_path: Path, section: str, name: str) -> None:
    write_params(tmp_path, **{section: {name: 99999999999999999999999 * 10**20}})
    assert f"{section}.{name}" in message(tmp_path)


@pytest.mark.parametrize(
    ("section", "change"),
    [
        ("featurize_dense", {"embedding_dim": 99999999999999999999999}),
        ("evaluate", {"resamples": 100_000_000}),
        ("ingest", {"folds": 128}),
        ("train", {"hidden": [10**6]}),
        ("train", {"hidden": [1] * 1000}),
        ("train", {"clip_value": 1e300}),
        ("train", {"weight_decay": 1e300}),
        ("train", {"device": "cuda:99999999999"}),
        ("train", {"runs": 10**6}),
        ("ingest", {"max_train": 10**30}),
        ("featurize_tfidf", {"max_features": 10**30}),
    ],
)
def test_a_number_beyond_use_is_refused(tmp_path: Path, section: str, change: dict) -> None:
    write_params(tmp_path, **{section: change})
    assert f"{section}.{next(iter(change))}" in message(tmp_path)


def test_a_missing_section_is_named(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("ingest: {}", encoding="utf-8")
    assert "evaluate: Field required" in message(tmp_path)


VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("1e-05"),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=5), values, max_size=2),
    max_leaves=5,
)
NAME = st.sampled_from([(section, name) for section in PARAMS for name in [*PARAMS[section], "nme"]])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.dictionaries(NAME, VALUE, min_size=1, max_size=3))
def test_any_values_are_parameters_or_one_line(tmp_path: Path, changes: dict[tuple[str, str], object]) -> None:
    params = copy.deepcopy(PARAMS)
    for (section, name), value in changes.items():
        params[section][name] = value
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params, allow_unicode=True), encoding="utf-8")
    try:
        read_params(tmp_path / "params.yaml")
    except UserError as problem:
        assert len(str(problem).splitlines()) == 1
        assert any(f"{section}" in str(problem) for section, _ in changes)


@given(VALUE)
def test_a_section_that_is_none_is_named(tmp_path_factory: pytest.TempPathFactory, value: object) -> None:
    path = tmp_path_factory.getbasetemp() / "section.yaml"
    path.write_text(yaml.safe_dump(PARAMS | {"train": value}), encoding="utf-8")
    with pytest.raises(UserError, match="train"):
        read_params(path)


@pytest.mark.parametrize("threshold", ["tuned", 0.5, "top_3"])
def test_a_threshold_is_tuned_or_a_number_or_so_many_tags(tmp_path: Path, threshold: str | float) -> None:
    write_params(tmp_path, evaluate={"threshold": threshold})
    assert read_params(tmp_path / "params.yaml").evaluate.threshold == threshold


@pytest.mark.parametrize("threshold", [1, "top_0", "top", "best"])
def test_no_other_threshold_is_taken(tmp_path: Path, threshold: str | float) -> None:
    write_params(tmp_path, evaluate={"threshold": threshold})
    assert "evaluate.threshold: Input should be 'tuned' or 'per_tag'" in message(tmp_path)


def test_thresholds_of_tags_need_their_calibration(tmp_path: Path) -> None:
    write_params(tmp_path, evaluate={"threshold": "per_tag", "calibrate": "pooled"})
    assert "evaluate: threshold: per_tag needs probabilities" in message(tmp_path)
    write_params(tmp_path, evaluate={"threshold": "per_tag", "calibrate": "per_tag"})
    assert read_params(tmp_path / "params.yaml").evaluate.threshold == "per_tag"


def test_what_is_fine_tuned_is_not_in_integers(tmp_path: Path) -> None:
    write_params(tmp_path, featurize_dense={"embedding": "finetuned", "dtype": "int8"})
    assert "featurize_dense.dtype: int8 is for frozen encoders; set float32 or bfloat16 to fine-tune" in message(
        tmp_path
    )


def test_a_parameter_that_stands_twice_is_named_with_its_line(tmp_path: Path) -> None:
    write_params(tmp_path)
    path = tmp_path / "params.yaml"
    lines = path.read_text().splitlines()
    place = next(number for number, line in enumerate(lines) if line.startswith("  folds:"))
    path.write_text("\n".join([*lines[:place], "  folds: 3", *lines[place:]]))
    assert f"cannot be read (line {place + 2}: 'folds' again; remove one of them)" in message(tmp_path)
