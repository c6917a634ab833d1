"""Folders and files that are complete or absent, and JSON files."""

import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

from tagstudy.core.checksums import checked, damaged, seal
from tagstudy.core.errors import UserError


@contextmanager
def atomic_folder(final: Path, made_from: Iterable[Path] | None = None) -> Iterator[Path]:
    """An empty folder that replaces ``final`` when the block ends without an error.

    With ``made_from``, the folders that a stage makes this one from, checksums are written into it.
    If the block fails or the process is killed, ``final`` stays as it was; killed between two renames at the end, the
    next call puts it back. That also removes what a killed process has left behind.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    for leftover in final.parent.glob(f".{final.name}-*-*"):
        made = re.fullmatch(r"(\d+)-\w+", leftover.name.removeprefix(f".{final.name}-"))
        if made and (int(made[1]) == os.getpid() or not is_running(int(made[1]))):  # process ids are reused
            if not final.exists():  # killed between the two renames below
                with suppress(FileNotFoundError):
                    (leftover / "stale").rename(final)
            shutil.rmtree(leftover, ignore_errors=True)
    with TemporaryDirectory(dir=final.parent, prefix=f".{final.name}-{os.getpid()}-") as scratch:
        fresh = Path(scratch) / "fresh"
        fresh.mkdir()
        yield fresh
        if made_from is not None:
            seal(fresh, *made_from, final=final)
        stale = Path(scratch) / "stale"
        try:
            with suppress(FileNotFoundError):
                final.rename(stale)
            fresh.rename(final)
        except BaseException:  # such as Ctrl-C between the two
            if stale.exists() and not final.exists():
                stale.rename(final)
            raise


def check_replaceable(folder: Path, known_by: str, what: str) -> None:
    """Raise :class:`UserError` where a folder exists and is not an earlier ``what``, which a file in it shows."""
    if folder.exists() and not (folder / known_by).exists():
        raise UserError(f"{folder} exists and is not {what}; name another, or move it away")


@contextmanager
def atomic_file(final: Path) -> Iterator[Path]:
    """A path that becomes ``final`` when the block ends without an error: a file is there as a whole, or is not."""
    fresh = final.with_name(f".{final.name}-{uuid4()}")
    try:
        yield fresh
        fresh.replace(final)
    finally:
        fresh.unlink(missing_ok=True)


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it runs, as another user's
        pass
    return True


def write_json(path: Path, value: object) -> None:
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        # A vocabulary: the same text as below, five times faster, because Python's C encoder does not indent.
        text = json.dumps(value, separators=(",\n  ", ": "), ensure_ascii=False)
        text = f"[\n  {text[1:-1]}\n]"
    else:
        text = json.dumps(value, indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")  # JSON reads such an escape


def read_json(path: Path) -> Any:
    """The value in a file that a stage wrote. Raises :class:`UserError` for one that is damaged."""
    with undamaged(path):
        return json.loads(checked(path).read_text(encoding="utf-8"))


@contextmanager
def undamaged(path: Path) -> Iterator[None]:
    """A context for parsing a file that a stage wrote: an error in it means that the file is damaged."""
    try:
        yield
    except (ValueError, TypeError, LookupError, ArithmeticError, RecursionError) as problem:
        raise damaged(path, " ".join(str(problem).split())) from None
