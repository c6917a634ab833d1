"""Whatever happens to the files between the stages: one line, or the right result; never other tags.

`make test-slow` damages one file after another of a finished study for FUZZ_SECONDS (600): bytes are flipped, cut,
doubled and replaced, and JSON gets other values. The quick tests do the same a few times for each kind of file.
"""

import json
import os
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable
from contextlib import chdir
from hashlib import blake2b
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from conftest import write_params
from tqdm import tqdm

from tagstudy.core.config import read_params
from tagstudy.core.corpus import Corpus
from tagstudy.core.errors import user_errors
from tagstudy.core.paths import ARMS, FEATURES, MODELS, POSTS, PREDICTIONS, TIMINGS, features_of_fold
from tagstudy.core.store import CsrMatrix, open_matrix
from tagstudy.encoders import cache
from tagstudy.evaluation import report, tables
from tagstudy.inference.predictor import Predictor
from tagstudy.model import checkpoint
from tagstudy.predictions.predictions import Predictions

SECONDS = float(os.environ.get("FUZZ_SECONDS", "600"))
QUICK = 6  # changes of each kind of file
MANY = 60  # at most, until one is noticed: some files of a kind are not read
TEXTS = ["How do I bind a click handler to rows added later?\nIn jquery.", "c# and asp.net", "python list"]
VALUES = [None, -1, 1e999, float("nan"), 10**30, "", "x" * 5000, [], {}, [[[]]], {"a": {}}, True, "\x1b[2J"]
TOKENS = [b"\0", b"\xff\xfe", b"9" * 5000, b"NaN", b"[" * 5000, b"\n", b"\x93NUMPY", b"null", b"  ", b"PAR1"]


def mutate(data: bytes, chance: random.Random) -> bytes:
    """The bytes with a few changes; now and then a JSON value with another one in some place."""
    if chance.random() < 0.3:
        try:
            return json.dumps(with_another_value(json.loads(data), chance)).encode()
        except (ValueError, RecursionError):
            pass
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 8))):
        at = chance.randrange(len(changed) + 1)
        end = min(len(changed), at + chance.choice((1, 1, 8, 64)))
        match chance.randrange(6):
            case 0 if at < len(changed):
                changed[at] ^= 1 << chance.randrange(8)
            case 1:
                del changed[at:end]
            case 2:
                changed[at:at] = changed[at:end]
            case 3:
                changed[at:at] = chance.choice(TOKENS)
            case 4:
                changed[at:end] = chance.randbytes(end - at)
            case _:
                del changed[at:]
    return bytes(changed)


def with_another_value(value: Any, chance: random.Random) -> Any:
    if not isinstance(value, dict | list) or not value or chance.random() < 0.2:
        return chance.choice(VALUES)
    key = chance.choice(list(value)) if isinstance(value, dict) else chance.randrange(len(value))
    value[key] = with_another_value(value[key], chance)
    return value


def digest(*parts: Any) -> str:
    """Of arrays and of what has a repr."""
    whole = blake2b()
    for part in parts:
        whole.update(np.ascontiguousarray(part).data if isinstance(part, np.ndarray) else repr(part).encode())
    return whole.hexdigest()


def of_matrix(matrix: Any) -> str:
    parts = [matrix.indptr, matrix.indices, matrix.data] if isinstance(matrix, CsrMatrix) else [matrix.rows]
    return digest(matrix.shape, *parts)


# What is read of each folder, as its readers read it.


def predict() -> Any:
    predictor = Predictor(device="cpu")
    return predictor.tags(TEXTS), predictor.tags(TEXTS, "dense"), predictor.tags(TEXTS, "sparse")


def read_posts() -> Any:
    corpus = Corpus(POSTS)
    texts = digest(*corpus.texts(), *corpus.read(["id"]))
    return texts, corpus.tags, corpus.fingerprint, digest(corpus.splits), of_matrix(corpus.labels)


def read_features() -> Any:
    return [of_matrix(open_matrix(features_of_fold(FEATURES / ARMS[arm], 0) / "matrix")) for arm in ARMS]


def read_predictions() -> Any:
    arms = [Predictions(PREDICTIONS / arm) for arm in ARMS]
    return [
        (arm.posts, arm.remedy, [(r.fold, r.problem, *map(of_matrix, r.logits.values())) for r in arm.runs])
        for arm in arms
    ]


def read_history() -> Any:
    return [tables.history(MODELS / arm).to_csv() for arm in ARMS]


def read_costs() -> Any:
    report.read_costs(MODELS, TIMINGS)  # seconds have no right value


KINDS: dict[str, tuple[Callable[[], Any], list[str]]] = {
    "what predict reads": (
        predict,
        [
            *("data/features/*/SHA256SUMS", "data/features/*/fold-0/*.json", "data/features/*/fold-0/*.npy"),
            *("data/models/*/SHA256SUMS", "data/models/*/model.json", "data/models/*/run-0/network.json"),
            "data/models/*/run-0/weights.safetensors",
        ],
    ),
    "what predict reads of evaluate": (predict, ["data/decisions/*", "metrics/*", "metrics/SHA256SUMS"]),
    "posts": (read_posts, ["data/posts/*", "data/posts/labels/*"]),
    "features": (read_features, ["data/features/*/fold-0/matrix/*"]),
    "predictions": (read_predictions, ["data/predictions/*/*", "data/predictions/*/run-*/*/*.npy"]),
    "histories": (read_history, ["data/models/*/run-*/plots/metrics/*.tsv"]),
    "seconds": (read_costs, ["data/timings/*.json"]),
}


def outcome(read: Callable[[], Any]) -> tuple[str, Any]:
    """What was read, or the line that the program ends with; raises what is neither."""
    try:
        with user_errors("fuzzing"):
            return "read", read()
    except SystemExit as end:
        line = str(end.code)
        assert line.isprintable() and len(line) < 2000, line
        assert "dvc repro" in line or "memory" in line, line
        return "one line", None


def damage(study: Path, kind: str, chance: random.Random) -> str:
    """Damage a file of a kind, read it, and put it back."""
    read, patterns = KINDS[kind]
    with chdir(study):
        path = chance.choice(sorted(path for path in study.glob(chance.choice(patterns)) if path.is_file()))
        whole = path.read_bytes()
        try:
            path.write_bytes(mutate(whole, chance))
            came, result = outcome(read)
            assert came != "read" or repr(result) == study_reads[kind], f"{path}: read as something else"
        finally:
            path.write_bytes(whole)
    return came


study_reads: dict[str, str] = {}  # by kind, of the whole study


@pytest.fixture(scope="module")
def study(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzzed") / "study"
    shutil.copytree(finished, folder, ignore=shutil.ignore_patterns(".dvc", ".git"))
    with chdir(folder):
        study_reads.update({kind: repr(read()) for kind, (read, _) in KINDS.items()})
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_one_line_or_read_rightly(study: Path, kind: str) -> None:
    chance = random.Random(kind)
    outcomes = Counter(damage(study, kind, chance) for _ in range(QUICK))
    while kind != "seconds" and not outcomes["one line"] and outcomes.total() < MANY:
        outcomes[damage(study, kind, chance)] += 1
    assert outcomes["one line"] or kind == "seconds"


class FakeEncoder:
    """What the cache needs of an encoder."""

    dims = 8

    def encode(self, texts: list[str]) -> np.ndarray:
        return np.array([[len(text), *text.encode()[-7:]] for text in texts], dtype=np.float32)


def read_cache(path: Path) -> np.ndarray:
    with mock.patch.object(cache, "fingerprint", lambda _: b"fingerprint"), tqdm(disable=True) as bar:
        encoded = cache.EmbeddingCache(FakeEncoder(), path)  # type: ignore[arg-type]
        try:
            return encoded.vectors([f"text {number:03}" for number in range(60)], bar)
        finally:
            if encoded.database:
                encoded.database.close()


def damage_cache(folder: Path, chance: random.Random) -> str:
    path = folder / "encoded.sqlite"
    path.unlink(missing_ok=True)
    right = read_cache(path)
    path.write_bytes(mutate(path.read_bytes(), chance))
    try:
        with user_errors("fuzzing"):
            np.testing.assert_array_equal(read_cache(path), right)
            return "read"
    except SystemExit as end:
        assert "encoded.sqlite: cannot be read" in str(end.code) and len(str(end.code)) < 2000
        return "one line"
    finally:
        for leftover in folder.glob("encoded.sqlite-*"):
            leftover.unlink()


def damage_checkpoint(folder: Path, chance: random.Random) -> str:
    path = folder / "run.pt"
    path.unlink(missing_ok=True)
    state = {"weights": torch.arange(200.0), "history": [{"valid": 0.5}]}
    with mock.patch.object(checkpoint, "SECONDS", 0):
        checkpoint.Checkpoint(path, "run").save(lambda: state)
    path.write_bytes(mutate(path.read_bytes(), chance))
    found = checkpoint.Checkpoint(path, "run").load()
    if found is None:
        return "none"
    assert torch.equal(found["weights"], state["weights"]) and found["history"] == state["history"]
    return "read"


def damage_params(folder: Path, chance: random.Random) -> str:
    write_params(folder)
    path = folder / "params.yaml"
    path.write_bytes(mutate(path.read_bytes(), chance))
    try:
        with user_errors("fuzzing"):
            read_params(path)
            return "read"
    except SystemExit as end:
        line = str(end.code)
        assert line.isprintable() and len(line) < 2000 and str(path) in line
        return "one line"


OTHERS = {"embedding cache": damage_cache, "checkpoint": damage_checkpoint, "params.yaml": damage_params}


@pytest.mark.parametrize("kind", OTHERS)
def test_a_damaged_cache_checkpoint_or_params_is_one_line_or_read_rightly(tmp_path: Path, kind: str) -> None:
    chance = random.Random(kind)
    outcomes = Counter(OTHERS[kind](tmp_path, chance) for _ in range(QUICK))
    assert outcomes["none" if kind == "checkpoint" else "one line"]


@pytest.mark.slow
def test_fuzzing_of_all_files_between_stages(study: Path, tmp_path: Path) -> None:
    chance = random.Random(time.time())
    outcomes: Counter[tuple[str, str]] = Counter()
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        kind = chance.choice([*KINDS, *OTHERS])
        state = chance.getstate()
        try:
            outcomes[kind, OTHERS[kind](tmp_path, chance) if kind in OTHERS else damage(study, kind, chance)] += 1
        except Exception as problem:
            again = tmp_path.parent / "state.txt"
            again.write_text(repr(state))
            raise AssertionError(f"{kind}; the state of chance is in {again}") from problem
    print(*(f"{kind}: {came} {count}" for (kind, came), count in sorted(outcomes.items())), sep="\n")
    assert {kind for kind, _ in outcomes} == {*KINDS, *OTHERS}
