"""What every stage shares: one-line errors, folders that are whole or absent, the line it ends with."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

SPLITS = ("train", "valid", "test")
POSTS = Path("data/posts")
FEATURES = Path("data/features")
MODELS = Path("data/models")
TIMINGS = Path("data/timings")
METRICS = Path("metrics")
PLOTS = Path("plots")


class BadInput(Exception):
    """Something the user can mend. Its text is one line: the place, what is wrong, the remedy."""

    def __init__(self, text: str) -> None:
        super().__init__(" ".join(text.splitlines()))  # libraries quote their input, line breaks and all


def run(stage: Callable[[], str]) -> None:
    """Run a stage, print what it made and how long that took.

    A :class:`BadInput` becomes one line on standard error and exit status 1.
    """
    name = Path(sys.argv[0]).stem
    start = time.perf_counter()
    try:
        made = stage()
    except BadInput as problem:
        sys.exit(f"{name}: {problem}")
    except FileNotFoundError as problem:
        sys.exit(f"{name}: {problem.filename} is missing; `dvc repro` runs the stages that write it")
    except KeyboardInterrupt:
        sys.exit(f"{name}: interrupted; `dvc repro` takes it up again")
    print(f"{name}: {made} ({time.perf_counter() - start:.1f} s)")


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

    An error in the block leaves ``final`` as an earlier run left it.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=final.parent, prefix=f".{final.name}-") as scratch:
        fresh = Path(scratch) / "fresh"
        fresh.mkdir()
        yield fresh
        if final.exists():
            final.rename(Path(scratch) / "stale")
        fresh.rename(final)


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
