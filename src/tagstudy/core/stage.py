"""What every stage shares: one-line errors, folders that are whole or absent, the lines it starts and ends with."""

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

SPLITS = ("train", "valid", "test")
ARMS = {"dense": "dense", "sparse": "tfidf"}  # an arm and the folder of its features
POSTS = Path("data/posts")
FEATURES = Path("data/features")
MODELS = Path("data/models")
TIMINGS = Path("data/timings")
METRICS = Path("metrics")
PLOTS = Path("plots")
# How libraries, each in its way, say that the disk, or a quota of it, is full; and the memory.
DISK_FULL = ("No space left", "disk is full", "quota exceeded", "File too large", "requested and")
NO_MEMORY = ("allocate memory", "out of memory", "Unable to allocate")


class BadInput(Exception):
    """Something the user can mend. Its text is one line: the place, what is wrong, the remedy."""

    def __init__(self, text: str) -> None:
        super().__init__(" ".join(text.splitlines()))  # libraries quote their input, line breaks and all


def run(stage: Callable[[], str]) -> None:
    """Run a stage; print what it does, which its module says first, and what it made and how long that took."""
    about = str(sys.modules[stage.__module__].__doc__)
    # No arguments but --help: what varies stands in params.yaml.
    argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    name = Path(sys.argv[0]).stem
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # no line waits, in a pipe neither
    print(f"{about.splitlines()[0].removeprefix('Stage ').rstrip('.')} ...")
    start = time.perf_counter()
    with one_line(name, again="run `dvc repro` again"):
        made = stage()
    print(f"{name}: {made} ({time.perf_counter() - start:.1f} s)")


@contextmanager
def one_line(name: str, again: str = "run it again") -> Iterator[None]:
    """End the program with one line on standard error and exit status 1 where the user can mend what is wrong.

    That is a :class:`BadInput`, and whatever the machine refuses. Anything else is a mistake of ours, and keeps its
    traceback.
    """
    try:
        yield
    except BadInput as problem:
        sys.exit(f"{name}: {problem}")
    except FileNotFoundError as problem:
        missing = problem.filename or " ".join(str(problem).split())  # safetensors gives no name apart
        sys.exit(f"{name}: {missing} is missing; `dvc repro` runs the stages that write it")
    except KeyboardInterrupt:
        sys.exit(f"{name}: interrupted; {again}")
    except Exception as problem:
        told = str(problem)
        if any(sign in told for sign in DISK_FULL):
            sys.exit(f"{name}: the disk is full, or its quota; make room and {again}")
        if isinstance(problem, MemoryError) or any(sign in told for sign in NO_MEMORY):
            sys.exit(f"{name}: not enough memory; free some, or give fewer posts or tags")
        if isinstance(problem, OSError):
            sys.exit(f"{name}: {' '.join(told.split())}")
        raise


@contextmanager
def needs_pretrained() -> Iterator[None]:
    """Around imports of what requirements-pretrained.txt installs."""
    try:
        yield
    except ImportError as problem:
        raise BadInput(
            f"featurize_dense.embedding needs {problem.name}, which is not installed; "
            "run pip install -r requirements-pretrained.txt"
        ) from None


@contextmanager
def whole_folder(final: Path) -> Iterator[Path]:
    """Give an empty folder that takes the place of ``final`` when the block ends without an error.

    An error in the block leaves ``final`` as an earlier run left it, and so does a kill, behind which the next call
    tidies up.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    for left in final.parent.glob(f".{final.name}-*-*"):
        process = int(left.name.split("-")[1])
        if process == os.getpid() or not is_running(process):  # in a container numbers come again
            shutil.rmtree(left, ignore_errors=True)
    with TemporaryDirectory(dir=final.parent, prefix=f".{final.name}-{os.getpid()}-") as scratch:
        fresh = Path(scratch) / "fresh"
        fresh.mkdir()
        yield fresh
        if final.exists():
            final.rename(Path(scratch) / "stale")
        fresh.rename(final)


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        pass
    return True


def choose_device(name: str) -> "torch.device":
    """The device that `train.device` names; for `auto` a GPU where there is one.

    Raises :class:`BadInput` for a GPU that is not there.
    """
    import torch  # which not every stage needs

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise BadInput(f"train.device: no {name} on this machine; use auto or cpu")
    return device


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
