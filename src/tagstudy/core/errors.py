"""Errors that the user can fix: one line on standard error, exit status 1, no traceback."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

# What the messages of libraries say when the disk or its quota is full ("requested and": numpy's), and when memory is.
DISK_FULL = ("No space left", "disk is full", "quota exceeded", "File too large", "requested and")
NO_MEMORY = ("allocate memory", "out of memory", "Unable to allocate")


class UserError(Exception):
    """An error that the user can fix. Its text is one line: the place, the problem, the remedy."""

    def __init__(self, text: str) -> None:
        super().__init__(" ".join(text.splitlines()))  # messages of libraries quote input with its line breaks


@contextmanager
def user_errors(name: str, again: str = "run it again") -> Iterator[None]:
    """Turn errors that the user can fix into one line on standard error and exit status 1.

    These are :class:`UserError`, and a lack of memory, of disk space or of a file. Any other error is a bug and keeps
    its traceback. ``name`` is the program's; ``again`` says how to repeat what failed.
    """
    try:
        yield
    except UserError as problem:
        sys.exit(f"{name}: {problem}")
    except FileNotFoundError as problem:
        missing = problem.filename or " ".join(str(problem).split())  # safetensors sets no filename
        sys.exit(f"{name}: {missing} is missing; `dvc repro` runs the stages that write it")
    except KeyboardInterrupt:
        sys.exit(f"{name}: interrupted; {again}")
    except Exception as problem:
        message = str(problem)
        if any(sign in message for sign in DISK_FULL):
            sys.exit(f"{name}: the disk is full, or its quota; make room and {again}")
        if "CUDA out of memory" in message:
            sys.exit(f"{name}: not enough memory on the GPU; lower train.batch_size, or use train.device: cpu")
        if isinstance(problem, MemoryError) or any(sign in message for sign in NO_MEMORY):
            sys.exit(f"{name}: not enough memory; free some, or give fewer posts or tags")
        if isinstance(problem, OSError):
            sys.exit(f"{name}: {' '.join(message.split())}")
        raise


@contextmanager
def needs_pretrained() -> Iterator[None]:
    """Around imports of what requirements-pretrained.txt installs; a missing one raises :class:`UserError`."""
    try:
        yield
    except ImportError as problem:
        raise UserError(
            f"featurize_dense.embedding needs {problem.name}, which is not installed; "
            "run pip install -r requirements-pretrained.txt"
        ) from None
