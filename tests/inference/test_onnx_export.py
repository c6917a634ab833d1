"""The folder that --export onnx writes: its model, its programs for Python and for Node say what the predictor says."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import ROOT, call, write_model
from hypothesis import given
from hypothesis import strategies as st

from tagstudy.core.config import EncoderSettings
from tagstudy.core.corpus import Text
from tagstudy.core.errors import UserError
from tagstudy.data.counts import terms
from tagstudy.data.readers import Post, read_posts
from tagstudy.data.text import token_sequences, tokenize
from tagstudy.encoders.loading import PACKAGED, load
from tagstudy.inference import onnx_export
from tagstudy.inference.onnx_export import export_onnx, load_program
from tagstudy.inference.predictor import Predictor
from tagstudy.predictions.decisions import Calibration, Decision

TAGS = ["python", "c++", "ruby", "ünïcode", "rust"]
SCRIPTS = [
    "如何在Python中对列表进行排序", "日本語のテキスト。node.jsとc#", "ทดสอบภาษาไทย", "नमस्ते दुनिया", "کتاب‌ها را مرتب کن",
    "한국어 문장", "İSTANBUL ΣΟΦΟΣ", "e\u0301te\u0301 naïve", "\u212bngström \u1f71", "👩‍💻 emoji 🎉 $.ajax", "a",
    "မြန်မာ ខ្មែរ ພາສາລາວ", "x² ½ Ⅷ ٣ 𝔘 𠀀𠀁", "asp.net .net list.append) .x c++ $.a",
    "ΔΙΚΤΥΑΚΟΣ:ΣΦΑΛΜΑ ΟΔΟΣ'Α", "Σ`Σ^Σ é ΑΣ' Σ-Σ Σ[Σ Σ\\Σ",
]  # fmt: skip
CALIBRATION = Calibration(
    np.linspace(0, 1, 12), np.linspace(-4, 5, 12), np.linspace(0.8, 1.4, 5), np.linspace(-1, 1, 5)
)
PER_TAG = Decision(CALIBRATION, np.linspace(0.2, 0.6, 5))


def texts(count: int) -> list[Text]:
    """Of the sample; every tenth has a sentence of another script."""
    posts = (post for post in read_posts(ROOT / "data/sample/Posts.xml") if isinstance(post, Post))
    found = [post.text for post in islice(posts, count - 3)]
    for number in range(0, len(found), 10):
        script = SCRIPTS[number // 10 % len(SCRIPTS)]
        found[number] = Text(script, found[number].body) if number % 20 else Text(found[number].title, script)
    return [*found, Text("zqxj wvkq", ""), Text("", SCRIPTS[1]), Text("", "")]


POSTS = texts(1000)


def words(posts: list[Text], max_ngram: int) -> list[str]:
    return sorted({term for text in posts for tokens in token_sequences(text) for term in terms(tokens, max_ngram)})


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two arms whose vocabularies differ; the last tenth of the posts has words that neither knows."""
    arms = {
        "dense": {"kind": "tf", "sublinear_tf": True, "vocabulary": words(POSTS[:600], 1)},
        "sparse": {"kind": "tfidf", "max_ngram": 2, "sublinear_tf": True, "vocabulary": words(POSTS[300:900], 2)},
    }
    folder = tmp_path_factory.mktemp("both") / "model"
    return write_model(folder, arms, PER_TAG, TAGS, skip_connection=True, skip_terms=50)


@pytest.fixture(scope="module")
def exported(both: Path) -> Path:
    """By the command."""
    done = call(sys.executable, ROOT / "src/predict.py", "--export", "onnx", "--model", both, cwd=both)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    [line] = done.stdout.splitlines()
    assert line.startswith(f"{both}-onnx: fusion") and "README.md" in line
    names = {"model.onnx", "tags.json", "words.json", "tag.py", "tag.mjs", "README.md"}
    assert {path.name for path in both.with_name(f"{both.name}-onnx").iterdir()} == names
    return both.with_name(f"{both.name}-onnx")


def agrees(predictor: Predictor, program: SimpleNamespace, posts: list[Text]) -> None:
    scores = predictor.scores(posts)[predictor.system]
    decided = predictor.decided(scores, predictor.system)
    found = [program.run(*text) for text in posts]
    probabilities, predicted = (np.stack(part) for part in zip(*found, strict=True))
    assert np.abs(probabilities - scores.probabilities).max() < 1e-5
    decision = predictor.decisions[predictor.system]
    if decision.top is None:
        clear = np.abs(scores.probabilities - decision.threshold) > 1e-5
    else:
        ranked = -np.sort(-scores.logits, axis=1)
        clear = (ranked[:, decision.top - 1] - ranked[:, decision.top] > 1e-4)[:, None] | np.zeros_like(decided)
    assert clear.mean() > 0.9 and (predicted == decided)[clear].all()
    assert not predicted[~scores.known].any() and predicted[scores.known].any()


def test_onnx_says_what_the_predictor_says_of_a_thousand_posts(both: Path, exported: Path) -> None:
    agrees(Predictor(both), load_program(exported / "tag.py"), POSTS)


def test_the_program_prints_the_predicted_tags(both: Path, exported: Path) -> None:
    text = POSTS[5]
    done = call(sys.executable, "tag.py", *text, cwd=exported)
    assert done.returncode == 0, done.stderr
    [tags] = Predictor(both).tags([f"{text.title}\n{text.body}"])
    assert json.loads(done.stdout.replace("'", '"')) == pytest.approx(tags, abs=1.1e-4)


def test_a_model_of_a_study_is_exported(finished: Path, tmp_path: Path) -> None:
    """Thresholds and calibration are what evaluate found: a steep one raises what is rounding before it."""
    predictor = Predictor(finished)
    assert "fusion" in export_onnx(predictor, tmp_path / "onnx")
    program = load_program(tmp_path / "onnx/tag.py")
    scores = predictor.scores(POSTS[:200], calibrated=False)["fusion"].probabilities
    found = np.stack([program.run(*text)[0] for text in POSTS[:200]])
    low, high = (
        predictor.decisions["fusion"].probabilities((scores + step).clip(0, 1), np.arange(len(predictor.names)))
        for step in (-1e-5, 1e-5)
    )
    assert ((low - 1e-6 < found) & (found < high + 1e-6)).all()


@pytest.mark.parametrize("sublinear_tf", [False, True])
def test_one_arm_with_the_best_tags_is_exported(tmp_path: Path, sublinear_tf: bool) -> None:
    arm = {"kind": "tfidf", "max_ngram": 1, "sublinear_tf": sublinear_tf, "vocabulary": words(POSTS[:100], 1)}
    model = write_model(
        tmp_path / "model", {"sparse": arm}, Decision(None, None, 2), TAGS, skip_connection=sublinear_tf
    )
    assert "sparse" in export_onnx(Predictor(model), tmp_path / "onnx")
    agrees(Predictor(model), load_program(tmp_path / "onnx/tag.py"), POSTS[:100] + POSTS[-3:])


@pytest.fixture(scope="module")
def small_encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The packaged one with one layer, and windows so short that titles have several."""
    folder = tmp_path_factory.mktemp("encoder") / "small"
    encoder = load(EncoderSettings(encoder=PACKAGED))
    body = encoder[0].auto_model
    body.encoder.layer = body.encoder.layer[:1]
    body.config.num_hidden_layers = 1
    encoder.max_seq_length = 12
    encoder.save(str(folder))
    return str(folder)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "others"), [("finetuned", ["sparse"]), ("encoder", [])])
def test_an_encoder_is_exported_with_its_tokenizer(
    tmp_path: Path, small_encoder: str, kind: str, others: list[str]
) -> None:
    posts = [*POSTS[:30], *POSTS[-3:-1]]
    sparse = {"kind": "tfidf", "max_ngram": 1, "sublinear_tf": True, "vocabulary": words(posts, 1)}
    settings = {"encoder": small_encoder, "prompt": "query: "}
    arms = {"dense": {"kind": kind, "encoder": settings}} | dict.fromkeys(others, sparse)
    model = write_model(tmp_path / "model", arms, PER_TAG, TAGS, skip_connection=True)
    export_onnx(Predictor(model), tmp_path / "onnx")
    assert not (tmp_path / "onnx/tag.mjs").exists() and (tmp_path / "onnx/tokenizer.json").exists()
    agrees(Predictor(model), load_program(tmp_path / "onnx/tag.py"), posts)


def text_of_scripts() -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from([*SCRIPTS, *"".join(SCRIPTS), " ", "."]), max_size=8).map("".join)


@given(text_of_scripts() | st.text())
def test_the_program_tokenizes_as_the_study_does(program: Callable[[], SimpleNamespace], text: str) -> None:
    assert program().tokenize(text) == tokenize(text)


@pytest.fixture(scope="module")
def program(exported: Path) -> Callable[[], SimpleNamespace]:
    loaded = load_program(exported / "tag.py")
    return lambda: loaded


ASK = """
import { readFileSync } from "node:fs";
import { tag } from "./tag.mjs";
for (const [title, body] of JSON.parse(readFileSync(0, "utf8"))) {
  const { probabilities, predicted } = await tag(title, body);
  console.log(JSON.stringify([Array.from(probabilities), Array.from(predicted)]));
}
"""


@pytest.fixture(scope="module")
def modules() -> Path:
    """The folder of Node's packages that has onnxruntime-node."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("needs Node and npm")
    folders = [*os.environ.get("NODE_PATH", "").split(os.pathsep), call("npm", "root", "-g", cwd=ROOT).stdout.strip()]
    for folder in filter(None, folders):
        if (Path(folder) / "onnxruntime-node").is_dir():
            return Path(folder)
    pytest.skip("needs onnxruntime-node, among Node's global packages or in a folder that NODE_PATH names")


def test_node_says_what_python_says_of_a_hundred_posts(
    both: Path, exported: Path, modules: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(exported, tmp_path / "onnx")
    (folder / "node_modules").symlink_to(modules)
    (folder / "ask.mjs").write_text(ASK)
    posts = [*POSTS[::10], *(Text(script, "python") for script in SCRIPTS), POSTS[-1]]
    done = subprocess.run(["node", "ask.mjs"], cwd=folder, input=json.dumps(posts).encode(), capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    found = [json.loads(line) for line in done.stdout.splitlines()]
    predictor = Predictor(both)
    scores = predictor.scores(posts)["fusion"]
    np.testing.assert_allclose([row[0] for row in found], scores.probabilities, atol=1e-5)
    clear = np.abs(scores.probabilities - PER_TAG.threshold) > 1e-5
    assert (np.array([row[1] for row in found], dtype=bool) == predictor.decided(scores, "fusion"))[clear].all()
    done = call("node", "tag.mjs", *POSTS[5], cwd=folder)
    assert done.returncode == 0 and done.stdout.startswith("[\n  [ "), done.stdout + done.stderr


def test_a_folder_that_was_not_exported_stays(both: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="exists and is not an export"):
        export_onnx(Predictor(both), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_model_that_differs_is_refused_and_not_written(
    both: Path, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = Predictor(both)
    other = load_program(exported / "tag.py")
    predictor.dense_weight = 0.31
    monkeypatch.setattr(onnx_export, "write_model", lambda path, tagger: shutil.copy(exported / "model.onnx", path))
    with pytest.raises(UserError, match="differ from torch's"):
        export_onnx(predictor, tmp_path / "onnx")
    assert list(tmp_path.iterdir()) == [] and other.TAGS == TAGS
