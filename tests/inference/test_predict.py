"""predict.py: new posts get the tags that evaluate would give them, in every form; ONNX says the same as torch."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pyarrow.parquet as pq
import pytest
import torch
from conftest import ENVIRONMENT, PARAMS, call
from hypothesis import given
from hypothesis import strategies as st

import evaluate
from tagstudy.core.paths import ARMS, FEATURES
from tagstudy.core.store import open_features, read_labels, read_texts
from tagstudy.data.text import tokenize
from tagstudy.evaluation.fusion import best_weight, mean
from tagstudy.inference import onnx_export as onnx_file
from tagstudy.inference import predictor as trained
from tagstudy.inference.predictor import SYSTEMS, Arm, Study, leave_out_each_word

torch.set_num_threads(PARAMS["train"]["threads"])  # as evaluate does: a threshold is a probability, to the last digit


@pytest.fixture(autouse=True)
def study(finished: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(finished)
    return finished


def predict(study: Path, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess:
    command = [sys.executable, "src/predict.py", *arguments]
    return subprocess.run(command, cwd=study, env=ENVIRONMENT, input=stdin, capture_output=True)


@pytest.mark.parametrize("name", ARMS)
def test_texts_are_read_as_those_of_test_were(name: str) -> None:
    texts = next(read_texts("test"))
    arm = Arm(name)
    stored = open_features(FEATURES / ARMS[name] / "test").batch(np.arange(len(texts)))
    for made, was in zip(arm.vectorize(texts), stored, strict=True):
        np.testing.assert_array_equal(made, was)


def test_tags_are_those_that_evaluate_gave() -> None:
    study = Study()
    labels = {split: read_labels(split, study.tags) for split in ("valid", "test")}
    dense, sparse = (evaluate.ask(name, torch.device("cpu"))[0][0] for name in ARMS)
    share = best_weight(labels["valid"], dense["valid"], sparse["valid"])
    fused = {split: mean(dense[split], sparse[split], share) for split in dense}
    found = study.answers([text for batch in read_texts("test") for text in batch])
    for name, own in {"dense": dense, "sparse": sparse, "fusion": fused}.items():
        run = evaluate.assess(labels, own, "tuned")
        assert study.thresholds[name] == run.scores["threshold"]
        np.testing.assert_array_equal(found[name].probabilities >= study.thresholds[name], run.guesses)


def test_a_text_gets_tags_of_all_and_the_words_that_speak_for_them(study: Path) -> None:
    text = "How do I read a file in Python?"
    done = predict(study, text)
    assert done.returncode == 0, done.stderr
    heading, *table = done.stdout.decode().splitlines()
    assert all(name in heading for name in SYSTEMS)
    assert len(table) >= 5
    told = json.loads(predict(study, "--json", text).stdout)
    trained = Study()
    whole = trained.answers([text])
    for name in SYSTEMS:
        found = {row["tag"]: row for row in told[name]["tags"]}
        assert told[name]["threshold"] == trained.thresholds[name]
        probabilities = dict(zip(trained.tags, whole[name].probabilities[0].tolist(), strict=True))
        assert {tag: row["probability"] for tag, row in found.items()} == pytest.approx(probabilities, abs=1e-4)
        for tag, row in found.items():
            assert row["given"] == (probabilities[tag] >= trained.thresholds[name])
            for word in row["words"]:
                without = trained.answers([" ".join(token for token in tokenize(text) if token != word)])
                fall = (whole[name].logits - without[name].logits)[0, trained.tags.index(tag)]
                assert fall > -1e-5  # predict.py reads all these texts at once, which may round otherwise


@given(st.lists(st.sampled_from(["c#", "C#", "İ", "list.append", "$.ajax", "…", "<p>", "a", "\n"]), max_size=12))
def test_a_word_is_left_out_wherever_it_stands(parts: list[str]) -> None:
    words, [whole, *texts] = leave_out_each_word(" ".join(parts))
    tokens = tokenize(" ".join(parts))
    assert words == list(dict.fromkeys(tokens))
    assert tokenize(whole) == tokens
    for word, text in zip(words, texts, strict=True):
        assert tokenize(text) == [token for token in tokens if token != word]
        assert text.count("\n") == parts.count("\n")


def test_of_many_words_the_first_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trained, "WORDS", 3)
    assert leave_out_each_word("a b c d")[0] == ["a", "b", "c"]


def rows(path: Path) -> list[dict]:
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    with path.open(encoding="utf-8", newline="") as file:
        return [
            {name: value if name == "id" else json.loads(value) for name, value in row.items()}
            for row in csv.DictReader(file)
        ]


def test_a_file_s_tags_are_the_same_in_every_format(study: Path, tmp_path: Path) -> None:
    titles = [f"How do I use {word}?" for word in ("python", "jquery", "nothing in particular", "c#", "php")] * 200
    source = tmp_path / "new.csv"
    source.write_text("id,title\n" + "".join(f"{n},{title}\n" for n, title in enumerate(titles)) + "x,\n=1+1,php\n")
    found = []
    for suffix in (".csv", ".jsonl", ".parquet"):
        output = tmp_path / f"tags{suffix}"
        done = predict(study, "--file", str(source), "--output", str(output))
        assert done.returncode == 0, done.stderr
        assert done.stderr.decode().splitlines() == ["predict: 1 row is no post, and has no line"]
        found.append(rows(output))
    assert found[0][-1]["id"] == "'=1+1" and found[1][-1]["id"] == found[2][-1]["id"] == "=1+1"
    assert found[0][:-1] == found[1][:-1] == found[2][:-1]
    assert [row["id"] for row in found[1]] == [*map(str, range(1000)), "=1+1"]
    trained = Study()
    for name, answer in trained.answers([*titles, "php"]).items():
        for row, scores in zip(found[1], answer.probabilities, strict=True):
            given = {
                trained.tags[tag]: float(scores[tag]) for tag in np.flatnonzero(scores >= trained.thresholds[name])
            }
            assert dict(zip(row[f"{name}_tags"], row[f"{name}_scores"], strict=True)) == pytest.approx(given, abs=1e-4)
    assert {path.name for path in tmp_path.iterdir()} == {"new.csv", "tags.csv", "tags.jsonl", "tags.parquet"}


def test_standard_input_goes_to_standard_output(study: Path) -> None:
    done = predict(study, "--file", "-", "--format", "jsonl", "--json", stdin=b'{"title": "python"}\n{"body": "php"}')
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["id"] for row in told] == ["stdin.jsonl:1", "stdin.jsonl:2"]
    trained = Study()
    limit = trained.thresholds["sparse"]
    for row, scores in zip(told, trained.answers(["python", "php"])["sparse"].probabilities, strict=True):
        assert row["sparse_tags"] == [trained.tags[tag] for tag in np.argsort(-scores) if scores[tag] >= limit]
    table = predict(study, "--file", "-", stdin=b"title\npython\n").stdout.decode().splitlines()
    assert table[0] == "id,dense_tags,dense_scores,sparse_tags,sparse_scores,fusion_tags,fusion_scores"
    assert len(table) == 2


def test_a_file_without_posts_gets_a_table_without_rows(study: Path, tmp_path: Path) -> None:
    source = tmp_path / "none.csv"
    source.write_text("id,title\n")
    for suffix in (".csv", ".jsonl", ".parquet"):
        output = tmp_path / f"tags{suffix}"
        done = predict(study, "--file", source, "--output", output)
        assert done.returncode == 0 and done.stderr.decode().splitlines() == [f"predict: {source} holds no posts"]
        assert rows(output) == []
    assert (tmp_path / "tags.csv").read_text().startswith("id,dense_tags,")


@pytest.mark.parametrize(("posts", "output"), [("new.csv", "new.csv"), ("", "new.csv"), ("", "tags.csv")])
def test_nothing_is_written_over_posts_or_among_them(study: Path, tmp_path: Path, posts: str, output: str) -> None:
    (tmp_path / "new.csv").write_text("id,title\n1,python\n")
    done = predict(study, "--file", tmp_path / posts, "--output", tmp_path / output)
    assert done.returncode == 1
    says = f"predict: --output {tmp_path / output}: there are the posts; name a file elsewhere"
    assert done.stderr.decode().splitlines() == [says]
    assert (tmp_path / "new.csv").read_text() == "id,title\n1,python\n"
    assert [path.name for path in tmp_path.iterdir()] == ["new.csv"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--file", "none.csv"], "none.csv: No such file"),
        (["--file", "README.md", "--output", "tags.csv"], "cannot read '.md' files"),
        (["--file", "data/sample/Posts.xml", "--output", "tags.xlsx"], "--output tags.xlsx"),
        (["a text", "--output", "tags.csv"], "name one with --file"),
        (["--file", "data/sample/Posts.xml", "--output", "none/tags.csv"], "--output none/tags.csv"),
        (["--file", "data/sample/Posts.xml", "--output", "tags.csv", "--json"], "--json is for what is printed"),
        (["--file", "-"], "predict: standard input: the file is empty"),
        (["--file", "-", "--format", "a/b"], "--format a/b: no format of posts"),
        (["--file", "-", "--format", "xml"], "predict: standard input: the file is empty"),
        ([" "], "predict: the text is empty; give a post's title"),
    ],
)
def test_what_cannot_be_done_is_one_line(study: Path, arguments: list[str], says: str) -> None:
    done = predict(study, *arguments)
    assert done.returncode == 1 and done.stdout == b""
    assert len(done.stderr.splitlines()) == 1 and says in done.stderr.decode()
    assert call("git", "status", "--porcelain", cwd=study).stdout == ""


def test_before_the_study_has_run_it_says_so(clone: Path) -> None:
    done = predict(clone, "a post")
    assert done.returncode == 1
    assert done.stderr.decode().splitlines() == [
        "predict: data/models/dense/model.json is missing; `dvc repro` runs the stages that write it"
    ]


def test_a_text_is_read_as_a_file_s(study: Path) -> None:
    title, body = "Rows of <table>", "<p>How do I read <code>a&lt;b&gt;</code> in php?</p>"
    told = json.loads(predict(study, f"{title}\n{body}", "--json").stdout)
    line = json.dumps({"title": title, "body": body}).encode()
    row = json.loads(predict(study, "--file", "-", "--format", "jsonl", "--json", stdin=line).stdout)
    for name in SYSTEMS:
        given = {tag["tag"]: tag["probability"] for tag in told[name]["tags"] if tag["given"]}
        assert given == pytest.approx(dict(zip(row[f"{name}_tags"], row[f"{name}_scores"], strict=True)), abs=1e-4)
        assert given


def test_an_encoder_that_has_learned_is_not_exported() -> None:
    arm = Arm("dense")
    arm.network.encoder = torch.nn.Identity()
    assert "dense: holds an encoder that has learned" in onnx_file.export_onnx("dense", arm)


def test_onnx_says_what_torch_says(study: Path, tmp_path: Path) -> None:
    copy = tmp_path / "study"
    shutil.copytree(study, copy)
    done = predict(copy, "--export", "onnx")
    assert done.returncode == 0, done.stderr
    assert done.stderr == b"" and done.stdout.count(b"within") == 2
    for name in ARMS:
        arm = Arm(name)
        session = onnxruntime.InferenceSession(copy / f"data/models/{name}.onnx")
        for texts in (
            ["python"],
            ["", "how to bind a click handler in jquery " * 20, "c#"],
        ):  # sizes it was not tried on
            columns, weights = onnx_file.pad(*arm.vectorize(texts))
            [found] = session.run(None, {"columns": columns, "weights": weights})
            np.testing.assert_allclose(found, arm.answer(texts).probabilities, atol=1e-5)
