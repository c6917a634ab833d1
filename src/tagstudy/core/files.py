"""Folders that are whole or absent, and JSON."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any


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


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
