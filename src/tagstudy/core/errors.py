"""Errors that the user can mend: one line on standard error, exit status 1, no traceback."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

# How libraries, each in its way, say that the disk, or a quota of it, is full; and the memory.
DISK_FULL = ("No space left", "disk is full", "quota exceeded", "File too large", "requested and")
NO_MEMORY = ("allocate memory", "out of memory", "Unable to allocate")


class UserError(Exception):
    """Something the user can mend. Its text is one line: the place, what is wrong, the remedy."""

    def __init__(self, text: str) -> None:
        super().__init__(" ".join(text.splitlines()))  # libraries quote their input, line breaks and all


@contextmanager
def user_errors(name: str, again: str = "run it again") -> Iterator[None]:
    """End the program with one line on standard error and exit status 1 where the user can mend what is wrong.

    That is a :class:`UserError`, and whatever the machine refuses. Anything else is a mistake of ours, and keeps its
    traceback.
    """
    try:
        yield
    except UserError as problem:
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
        raise UserError(
            f"featurize_dense.embedding needs {problem.name}, which is not installed; "
            "run pip install -r requirements-pretrained.txt"
        ) from None
