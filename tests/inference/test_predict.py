"""predict.py: new posts get the tags that evaluate predicts, in every form; ONNX and torch agree."""

import csv
import io
import json
import runpy
import signal
import subprocess
import sys
import time
from contextlib import chdir
from pathlib import Path
from unittest import mock

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import ENVIRONMENT, call
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from tagstudy.core.config import read_params
from tagstudy.core.corpus import Corpus, Text
from tagstudy.core.paths import ARMS, FEATURES, POSTS, PREDICTIONS, SYSTEMS, features_of_fold
from tagstudy.core.store import open_matrix
from tagstudy.data.text import tokenize
from tagstudy.evaluation.systems import assess_systems
from tagstudy.inference import predictor
from tagstudy.inference.models import arm_of_study
from tagstudy.inference.predictor import Predictor, evidence, leave_out_each_word
from tagstudy.predictions.predictions import Predictions


@pytest.fixture(autouse=True)
def study(finished: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(finished)
    return finished


def predict(study: Path, *arguments: str | Path, stdin: bytes = b"") -> subprocess.CompletedProcess:
    """Run the script in this process, which saves its imports."""
    given, out, err = (io.TextIOWrapper(io.BytesIO(data), "utf-8", write_through=True) for data in (stdin, b"", b""))
    code, heard = 0, signal.getsignal(signal.SIGTERM)
    streams = {"argv": ["src/predict.py", *map(str, arguments)], "stdin": given, "stdout": out, "stderr": err}
    with chdir(study), mock.patch.multiple(sys, **streams):
        try:
            runpy.run_path("src/predict.py", run_name="__main__")
        except SystemExit as end:  # as Python ends
            code = 1
            print(end.code, file=err)
        finally:
            signal.signal(signal.SIGTERM, heard)
    return subprocess.CompletedProcess("predict.py", code, out.buffer.getvalue(), err.buffer.getvalue())  # type: ignore[attr-defined]


def texts_of_test() -> list[Text]:
    """Those of the first fold, on which the first run is tested."""
    corpus = Corpus(POSTS)
    return [text for block in corpus.texts(corpus.is_in("test", 0)) for text in block]


@pytest.mark.parametrize("name", ARMS)
def test_texts_are_read_as_those_of_test_were(name: str) -> None:
    arm = arm_of_study(Path(), name, "cpu")
    stored = open_matrix(features_of_fold(FEATURES / ARMS[name], 0) / "matrix").batch(Corpus(POSTS).rows("test", 0))
    for made, was in zip(arm.vectorize(texts_of_test()), stored, strict=True):
        np.testing.assert_array_equal(made, was)


def test_tags_are_those_that_evaluate_predicts() -> None:
    """But for what a batch of another size rounds otherwise, close to a threshold."""
    corpus, loaded = Corpus(POSTS), Predictor()
    arms = (Predictions(PREDICTIONS / arm) for arm in ARMS)
    systems, weights = assess_systems(corpus, *arms, read_params().evaluate.threshold, read_params().evaluate.calibrate)
    assert loaded.dense_weight == weights[0]
    scores = loaded.scores(texts_of_test())
    for name in SYSTEMS:
        run = systems[name].runs[0]
        threshold = loaded.decisions[name].threshold
        assert threshold == run.scores["threshold"]
        predicted = np.zeros(run.decisions.shape, dtype=bool)
        predicted[np.repeat(np.arange(len(predicted)), np.diff(run.decisions.indptr)), run.decisions.indices] = True
        other = (scores[name].probabilities >= threshold) != predicted
        assert np.abs(scores[name].probabilities[other] - threshold).max(initial=0) < 1e-4  # a calibration may be steep


def test_a_text_gets_tags_of_all_and_the_words_that_speak_for_them(study: Path) -> None:
    text = "How do I read a file in Python?"
    done = predict(study, text)
    assert done.returncode == 0, done.stderr
    heading, *table = done.stdout.decode().splitlines()
    assert "fusion" in heading and "dense" not in heading and len(table) >= 5
    heading, *table = predict(study, "--arms", text).stdout.decode().splitlines()
    assert all(name in heading for name in SYSTEMS) and len(table) >= 5
    printed = json.loads(predict(study, "--json", text).stdout)
    loaded = Predictor()
    whole = loaded.scores([Text(text, "")])
    for name in SYSTEMS:
        rows = {row["tag"]: row for row in printed[name]["tags"]}
        threshold = loaded.decisions[name].threshold
        assert printed[name]["threshold"] == threshold
        probabilities = dict(zip(loaded.names, whole[name].probabilities[0].tolist(), strict=True))
        assert {tag: row["probability"] for tag, row in rows.items()} == pytest.approx(probabilities, abs=1e-4)
        for tag, row in rows.items():
            assert row["predicted"] == (probabilities[tag] >= threshold)
            for word in row["words"]:
                without = Text(" ".join(token for token in tokenize(text) if token != word["word"]), "")
                fall = (whole[name].logits - loaded.scores([without])[name].logits)[0, loaded.names.index(tag)]
                assert word["weight"] == pytest.approx(fall, abs=0.006)


def test_evidence_leaves_out_what_carries_next_to_nothing() -> None:
    words = ["how", "click", "bind", "a", "to"]
    shown = evidence(words, np.array([0.1, 0.4, 0.2, -0.3, 0.0]))
    assert shown == [{"word": "click", "weight": 0.4}, {"word": "bind", "weight": 0.2}]
    assert evidence(words, np.array([0.04, 0.01, 0, 0, 0])) == evidence([], np.zeros(0)) == []


def test_a_text_without_known_words_gets_no_tag(study: Path) -> None:
    assert predict(study, "zqxj wvkq").stdout.decode().startswith("no known words: ")
    printed = json.loads(predict(study, "--json", "zqxj wvkq").stdout)
    assert printed["known_words"] is False
    assert not any(tag["predicted"] for name in SYSTEMS for tag in printed[name]["tags"])
    done = predict(study, "--file", "-", "--json", stdin=b"title\npython\nzqxj wvkq\n")
    assert done.stderr.decode().splitlines() == ["predict: 1 post has no known word and gets no tags"]
    assert [bool(json.loads(line)["fusion_tags"]) for line in done.stdout.splitlines()] == [True, False]
    assert json.loads(predict(study, "--json", "python").stdout)["known_words"] is True


@pytest.mark.parametrize(("threshold", "calibrate"), [("per_tag", "per_tag"), ("top_2", "pooled"), (0.3, "none")])
def test_every_kind_of_decision_is_that_of_evaluate(threshold: str | float, calibrate: str) -> None:
    corpus, loaded = Corpus(POSTS), Predictor()
    systems, weights = assess_systems(corpus, *(Predictions(PREDICTIONS / arm) for arm in ARMS), threshold, calibrate)
    loaded.decisions, loaded.dense_weight = {name: systems[name].runs[0].decision for name in SYSTEMS}, weights[0]
    for name, scores in loaded.scores(texts_of_test()).items():
        predicted, other = loaded.decided(scores, name)[scores.known], systems[name].runs[0].decisions
        expected = csr_array((np.ones(other.nnz), other.indices, other.indptr), shape=other.shape).toarray() > 0
        assert (predicted != expected[scores.known]).mean() < 1e-3  # what rounds otherwise in other batches
        assert scores.known.mean() > 0.99


@given(st.lists(st.sampled_from(["c#", "C#", "İ", "list.append", "$.ajax", "…", "<p>", "a", "\n"]), max_size=12))
def test_a_word_is_left_out_wherever_it_stands(parts: list[str]) -> None:
    half = len(parts) // 2
    text = Text(" ".join(parts[:half]), " ".join(parts[half:]))
    words, [whole, *texts] = leave_out_each_word(text)
    tokens = [tokenize(part) for part in text]
    assert words == list(dict.fromkeys(tokens[0] + tokens[1]))
    assert [tokenize(part) for part in whole] == tokens
    for word, variant in zip(words, texts, strict=True):
        assert [tokenize(part) for part in variant] == [[t for t in part if t != word] for part in tokens]


def test_of_many_words_the_first_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictor, "WORDS", 3)
    assert leave_out_each_word(Text("a b", "c d"))[0] == ["a", "b", "c"]


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
        assert done.stderr.decode().splitlines() == ["predict: 1 row is not a post and was skipped"]
        found.append(rows(output))
    assert found[0][-1]["id"] == "'=1+1" and found[1][-1]["id"] == found[2][-1]["id"] == "=1+1"
    assert found[0][:-1] == found[1][:-1] == found[2][:-1]
    assert [row["id"] for row in found[1]] == [*map(str, range(1000)), "=1+1"]
    for name in SYSTEMS:
        for row, tags in zip(found[1], Predictor().tags([*titles, "php"], name), strict=True):
            assert dict(zip(row[f"{name}_tags"], row[f"{name}_scores"], strict=True)) == pytest.approx(tags, abs=1e-4)
    assert {path.name for path in tmp_path.iterdir()} == {"new.csv", "tags.csv", "tags.jsonl", "tags.parquet"}


def test_standard_input_goes_to_standard_output(study: Path) -> None:
    """Of a process of its own."""
    command = [sys.executable, "src/predict.py", "--file", "-", "--format", "jsonl", "--json"]
    posts = b'{"title": "python"}\n{"body": "php"}'
    done = subprocess.run(command, cwd=study, env=ENVIRONMENT, input=posts, capture_output=True)
    assert done.returncode == 0 and done.stderr == b""
    printed = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["id"] for row in printed] == ["stdin.jsonl:1", "stdin.jsonl:2"]
    for row, tags in zip(printed, Predictor().tags(["python", "php"], "sparse"), strict=True):
        assert row["sparse_tags"] == list(tags)
    table = predict(study, "--file", "-", stdin=b"title\npython\n").stdout.decode().splitlines()
    assert table[0] == "id,dense_tags,dense_scores,sparse_tags,sparse_scores,fusion_tags,fusion_scores"
    assert len(table) == 2


def test_a_file_is_read_by_the_columns_and_the_encoding_of_ingest(study: Path, tmp_path: Path) -> None:
    """Where it has them; else as any file."""
    params = read_params()
    columns = params.ingest.columns.model_copy(update={"title": "headline", "body": ["reply", "more"], "tags": "area"})
    told = params.model_copy(
        update={"ingest": params.ingest.model_copy(update={"columns": columns, "encoding": "cp1250"})}
    )
    texts = {
        "like.csv": (
            "headline,reply,more,body\nSort,žluťoučký,a php page,no\n".encode("cp1250"),
            "Sort\nžluťoučký\na php page",
        ),
        "other.csv": ("title,body\nSort,žluťoučký kůň\n".encode(), "Sort\nžluťoučký kůň"),
        "other.txt": (b"Sort it\n", "\nSort it"),
    }
    for name, (data, text) in texts.items():
        (tmp_path / name).write_bytes(data)
        with mock.patch("tagstudy.core.config.read_params", lambda: told):
            done = predict(study, "--file", tmp_path / name, "--json")
        assert done.returncode == 0, done.stderr
        [tags] = Predictor().tags([text], "sparse")
        assert json.loads(done.stdout)["sparse_tags"] == list(tags)
        [line] = done.stderr.decode().splitlines()
        says = {"like.csv": "title from headline, body from reply, more; encoded in cp1250; text columns left out"}
        assert f"predict: {name}: {says.get(name, '')}"[:70] in line, line


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
    says = f"predict: --output {tmp_path / output}: this is the source or lies in its folder; name a file elsewhere"
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
        (["--file", "data/sample/Posts.xml", "--output", "tags.csv", "--json"], "--json applies to printed output"),
        (["a text", "--arms", "--json"], "--arms is for the table of a text"),
        (["--serve", "--json"], "--json is for the tags of a text or of a file's posts"),
        (["--file", ""], "--file: the name is empty"),
        (["a text", "--model", "src"], "--model src: holds no models"),
        (["--file", "-"], "predict: standard input: the file is empty"),
        (["--file", "-", "--format", "a/b"], "--format a/b: no format of posts"),
        (["--file", "-", "--format", "xml"], "predict: standard input: the file is empty"),
        ([" "], "predict: the text is empty; give a post's title"),
        (["caf\udce9"], "predict: the text is not UTF-8; convert it"),
        (["--file", "-", "--format", "a/b.csv"], "--format a/b.csv: no format of posts"),
        (["--file", "data/sample/Posts.xml", "--output", "data/models"], "--output data/models: name a file"),
        (["--file", "\x1b[31m.csv"], "\ufffd[31m.csv: No such file"),
    ],
)
def test_what_cannot_be_done_is_one_line(study: Path, arguments: list[str], says: str) -> None:
    done = predict(study, *arguments)
    assert done.returncode == 1 and done.stdout == b""
    assert len(done.stderr.splitlines()) == 1 and says in done.stderr.decode()
    assert call("git", "--no-optional-locks", "status", "--porcelain", cwd=study).stdout == ""


def run_program(study: Path, command: str) -> subprocess.CompletedProcess:
    """predict.py in a shell; its status is that of predict.py."""
    script = f"'{sys.executable}' src/predict.py {command}"
    return subprocess.run(["bash", "-o", "pipefail", "-c", script], cwd=study, env=ENVIRONMENT, capture_output=True)


@pytest.mark.parametrize(
    ("command", "status", "says"),
    [
        ("--file - <&-", 1, b"predict: --file -: standard input is closed; name a file\n"),
        ("--json python >&-", 1, b"predict: standard output is closed; name a file in --output\n"),
        ("--file data/sample/Posts.xml | head -1", 128 + signal.SIGPIPE, b""),
    ],
)
def test_closed_streams_are_no_traceback(study: Path, command: str, status: int, says: bytes) -> None:
    done = run_program(study, command)
    assert (done.returncode, done.stderr) == (status, says)


def test_a_terminal_that_is_ascii_gets_escapes(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENVIRONMENT, "PYTHONIOENCODING", "ascii")
    done = run_program(study, "'naïve größe 中文 python'")
    assert done.returncode == 0 and done.stdout.isascii() and done.stderr == b""
    printed = run_program(study, "--json 'naïve python'").stdout
    assert json.loads(printed)["text"] == "naïve python"


def test_a_termination_leaves_nothing_behind(study: Path, tmp_path: Path) -> None:
    command = [sys.executable, "src/predict.py", "--file", "-", "--output", str(tmp_path / "tags.csv")]
    process = subprocess.Popen(command, cwd=study, env=ENVIRONMENT, stdin=subprocess.PIPE)
    while not list(tmp_path.glob(".predict-*/stdin.csv")):  # it waits for standard input
        time.sleep(0.05)
        assert process.poll() is None
    process.terminate()
    assert process.wait() == 128 + signal.SIGTERM
    assert list(tmp_path.iterdir()) == []


def test_json_escapes_what_steers_a_terminal(study: Path) -> None:
    printed = predict(study, "--json", "red \x9b31m\u202e python").stdout.decode()
    assert json.loads(printed)["text"] == "red \x9b31m\u202e python"
    assert printed.rstrip("\n").isprintable()


def test_before_the_study_has_run_it_says_so(clone: Path) -> None:
    done = predict(clone, "a post")
    assert done.returncode == 1
    assert done.stderr.decode().splitlines() == [
        "predict: data/models/dense/SHA256SUMS is missing; `dvc repro` runs the stages that write it"
    ]


def test_a_text_is_read_as_a_file_s(study: Path) -> None:
    title, body = "Rows of <table>", "<p>How do I read <code>a&lt;b&gt;</code> in php?</p>"
    printed = json.loads(predict(study, f"{title}\n{body}", "--json").stdout)
    line = json.dumps({"title": title, "body": body}).encode()
    row = json.loads(predict(study, "--file", "-", "--format", "jsonl", "--json", stdin=line).stdout)
    for name in SYSTEMS:
        tags = {tag["tag"]: tag["probability"] for tag in printed[name]["tags"] if tag["predicted"]}
        assert tags == pytest.approx(dict(zip(row[f"{name}_tags"], row[f"{name}_scores"], strict=True)), abs=1e-4)
        assert tags
