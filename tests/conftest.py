"""What several test files need: the repository's root and parameters, and a small corpus in a folder of its own."""

import copy
import fcntl
import io
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import chdir, redirect_stdout
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

from tagstudy.core.processor import COMMON  # before numpy and torch

# isort: split
import numpy as np
import py7zr
import pytest
import torch
import warm_python
import yaml
from hypothesis import HealthCheck, settings
from scipy.sparse import csr_array

from tagstudy.core import stage
from tagstudy.core.checksums import seal
from tagstudy.core.config import EncoderSettings
from tagstudy.core.files import write_json
from tagstudy.core.paths import SYSTEMS
from tagstudy.core.store import CsrMatrix, CsrWriter
from tagstudy.inference.models import FORMAT, SHIPPED
from tagstudy.model.network import build, write_network
from tagstudy.predictions.decisions import Decision, RunDecisions, write_decisions

ROOT = Path(__file__).resolve().parent.parent
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))

REAL = ROOT.parent / "shared" / "data"  # real posts, which are no part of the repository
# A busy machine is slow at anything, and that is no defect. The suite tries the same examples each time; with
# --hypothesis-profile=explore it looks for new ones.
any_machine = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("same", any_machine, derandomize=True)
settings.register_profile("explore", any_machine, max_examples=5000)
settings.load_profile("same")


def write_params(folder: Path, **changes: dict) -> None:
    """The repository's params.yaml in another folder, with some keys of its sections changed."""
    params = copy.deepcopy(PARAMS)
    for section, values in changes.items():
        params[section].update(values)
    (folder / "params.yaml").write_text(yaml.safe_dump(params, allow_unicode=True), encoding="utf-8")


OUTPUTS = {  # of each stage
    "ingest": ["data/posts"],
    "featurize_dense": ["data/features/dense"],
    "featurize_tfidf": ["data/features/tfidf"],
    "train_dense": ["data/models/dense", "data/predictions/dense"],
    "train_sparse": ["data/models/sparse", "data/predictions/sparse"],
    "evaluate": ["metrics", "plots"],
}
DVC = (sys.executable, "-m", "dvc")
SAMPLE = 1500  # lines of the sample that whole studies read
LARGE = 10_000_000  # bytes of a file that is the user's posts, not of the project
QUICK: dict[str, dict] = {  # parameters of whole studies
    "ingest": {"folds": 3},
    "featurize_dense": {"embedding_dim": 16},
    "train": {"epochs": 2, "min_steps": 40, "hidden": [16], "batch_size": 64},
    "evaluate": {"resamples": 100},
}
# A git hook names the user's repository in variables, and variables of Python's change what programs print.
for variable in [name for name in os.environ if name.startswith(("GIT_", "PYTHON"))]:
    del os.environ[variable]
CACHE = tempfile.TemporaryDirectory(prefix="tagstudy-")  # deleted at the end
os.environ["TAGSTUDY_CACHE"] = CACHE.name  # not the user's
for place in ("GLOBAL_CONFIG", "SYSTEM_CONFIG", "SITE_CACHE"):
    os.environ[f"DVC_{place}_DIR"] = f"{CACHE.name}/{place}"  # nor the user's remotes and caches
os.environ.pop("DVC_STUDIO_TOKEN", None)
os.environ["HF_HUB_OFFLINE"] = "1"  # without a network it would try again for a minute
os.environ["CUDA_VISIBLE_DEVICES"] = ""  # the same bytes each time are promised on the CPU alone
torch.set_num_threads(1)  # as the stages do; networks this small only wait for one another
# This Python's programs first on the path, and this tree's library; each chooses its instructions by itself.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in COMMON} | {
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "PYTHONPATH": str(ROOT / "src"),
    **dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost"),
}


def save_csr(folder: Path, rows: csr_array, dtype: type = np.float32) -> CsrMatrix:
    """A CSR matrix on disk."""
    with CsrWriter(folder, rows.shape[1], dtype) as writer:
        writer.append_rows(rows)
    return CsrMatrix(folder)


@cache
def warm_programs() -> str:
    """The folder of a `python` and a `dvc` that have imported what the study needs."""
    return warm_python.start()


def call(*command: str | Path, cwd: Path, cold: bool = False) -> subprocess.CompletedProcess:
    """Run a command to its end. ``cold``: its programs import for themselves what they need."""
    parts = [str(part) for part in command]
    if not cold and parts[0] == sys.executable:
        parts[0] = "python"
    environment = ENVIRONMENT if cold else ENVIRONMENT | {"PATH": f"{warm_programs()}{os.pathsep}{ENVIRONMENT['PATH']}"}
    return subprocess.run(parts, cwd=cwd, env=environment, capture_output=True, text=True)


def run_stage(module: ModuleType, folder: Path) -> subprocess.CompletedProcess:
    """Run a stage in this process, which saves its imports; its exit status, what it printed and its last line."""
    printed, message = io.TextIOWrapper(io.BytesIO(), write_through=True), ""
    with chdir(folder), redirect_stdout(printed), mock.patch.object(sys, "argv", [f"{module.__name__}.py"]):
        try:
            stage.run(module.main)
        except SystemExit as end:
            message = f"{end.code}\n"
    output = printed.buffer.getvalue().decode()  # type: ignore[attr-defined]
    return subprocess.CompletedProcess(module.__name__, int(bool(message)), output, message)


# Files that take longest, so that at the end no worker of pytest-xdist waits for the other.
LONG = [
    *("test_readme", "test_pipeline", "test_embeddings", "test_odd_posts", "test_benchmarks", "test_predict"),
    *("test_ship", "test_onnx_export", "test_serving"),
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take longest first. Skip the tests that read real posts where there are none."""
    place = {name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path.stem, len(LONG)))
    if not REAL.is_dir():
        for item in items:
            if item.get_closest_marker("real_posts"):
                item.add_marker(pytest.mark.skip(reason="no real posts in ../shared/data"))


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this session, the same for all workers of pytest-xdist."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


def made_once(folder: Path, make: Callable[[Path], None]) -> Path:
    """A folder that the first worker to need it makes; the others wait."""
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            half = folder.with_suffix(".half")
            shutil.rmtree(half, ignore_errors=True)  # where another worker has failed
            half.mkdir()
            make(half)
            half.rename(folder)
    return folder


def git(folder: Path, *command: str) -> None:
    done = call("git", *command, cwd=folder)
    assert done.returncode == 0, done.stderr


def make_clone(folder: Path) -> None:
    git(ROOT, "clone", "--quiet", str(ROOT), str(folder))
    listed = call("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=ROOT).stdout.splitlines()
    for name in listed:
        if (ROOT / name).is_file() and (ROOT / name).stat().st_size < LARGE:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())
    sample = folder / "data/sample/Posts.xml"
    *rows, end = sample.read_text(encoding="utf-8").splitlines(keepends=True)
    sample.write_text("".join([*rows[:SAMPLE], end]), encoding="utf-8")
    write_params(folder, **QUICK)
    for setting in (
        "user.name=Test",
        "user.email=test@example.com",
        "commit.gpgsign=false",
        "core.hooksPath=/dev/null",
    ):
        git(folder, "config", *setting.split("="))
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "The working tree")


@pytest.fixture(scope="session")
def clone(shared: Path) -> Path:
    """A clone of the working tree with its changes committed, fewer posts, and parameters that run in seconds.

    To be copied: it is the same for all workers.
    """
    return made_once(shared / "clone", make_clone)


@pytest.fixture(scope="session")
def finished(clone: Path, shared: Path) -> Path:
    """A copy of the clone after `dvc repro`, its results committed. To be read, or copied."""

    def make(folder: Path) -> None:
        shutil.copytree(clone, folder, dirs_exist_ok=True)
        done = call(*DVC, "repro", cwd=folder)
        assert done.returncode == 0, done.stdout + done.stderr
        git(folder, "add", "--all")
        git(folder, "commit", "--quiet", "--message", "First results")

    return made_once(shared / "finished", make)


# --------------------------------------------------------------------------- models without a study


def write_model(folder: Path, arms: dict[str, dict], decision: Decision, tags: list[str], **network: Any) -> Path:
    """A shipped folder whose networks have random weights. ``arms`` have the vectorizer.json of each, and with it the
    vocabulary of its words; ``network`` is the same for all. Every system decides alike; the dense weight is 0.3.
    """
    torch.manual_seed(0)
    loss = "cross_entropy" if decision.calibration is None else "squared_hinge"
    for name, vectorizer in arms.items():
        own, vocabulary = folder / name, vectorizer.pop("vocabulary", None)
        own.mkdir(parents=True)
        described = {"inputs": len(vocabulary or ()) or 384, "csr": bool(vocabulary), "embedding_dim": None} | {
            "outputs": len(tags), "hidden": [16], "batch_norm": False, "activation": "relu", "dropout": 0.0, **network,
        }  # fmt: skip
        if vectorizer["kind"] == "finetuned":
            described["encoder"] = vectorizer["encoder"]
        model = build(described)
        if "encoder" in vectorizer:
            from tagstudy.encoders.encoder import Encoder  # seconds to import, for few tests
            from tagstudy.encoders.identity import identity

            encoder = model.encoder or Encoder(EncoderSettings(**vectorizer["encoder"]))
            vectorizer |= {"identity": identity(encoder)}
        for layer in filter(None, (model.first, *model.hidden[-1:], model.skip)):
            torch.nn.init.normal_(layer.weight, std=0.3)
        if model.skip is not None:
            model.skip.choose(np.random.default_rng(0).permutation(described["inputs"]))
        write_network(own, model, described)
        write_json(own / "vectorizer.json", vectorizer)
        if vocabulary:
            write_json(own / "vocabulary.json", vocabulary)
        if vectorizer["kind"] == "tfidf":
            np.save(own / "idf.npy", np.random.default_rng(0).uniform(1, 5, described["inputs"]))
    write_decisions(folder / "decisions.json", RunDecisions(dict.fromkeys(SYSTEMS, decision), 0.3))
    write_json(folder / SHIPPED, {"format": FORMAT, "tags": tags, "losses": dict.fromkeys(arms, loss)})
    seal(folder)
    return folder


# --------------------------------------------------------------------------- files of posts


def zipped(method: int = zipfile.ZIP_DEFLATED, **members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "."), data)
    return stream.getvalue()


def seven_zipped(password: str | None = None, **members: bytes) -> bytes:
    stream = io.BytesIO()
    with py7zr.SevenZipFile(stream, "w", password=password) as archive:
        for name, data in members.items():
            archive.writestr(data, name.replace("__", "."))
    return stream.getvalue()


def damaged(data: bytes, start: int = 2000) -> bytes:
    return data[:start] + bytes(byte ^ 0x5A for byte in data[start : start + 200]) + data[start + 200 :]


def marked(data: bytes, offset: int, value: int) -> bytes:
    """A zip archive whose only member is marked as encrypted, or as packed by another method, in both headers."""
    changed = bytearray(data)
    changed[6 + offset] = changed[data.index(b"PK\x01\x02") + 8 + offset] = value
    return bytes(changed)


def rows(*tags: list[str], split: list[str] | None = None) -> bytes:
    """JSON lines of 30 posts, whose tags are these in turn."""
    given = itertools.cycle(split or [""])
    return b"\n".join(
        json.dumps({"title": f"Post {number}", "tags": own, "split": part}).encode()
        for number, own, part in zip(range(30), itertools.cycle(tags), given, strict=False)
    )
