"""Errors that the user can fix: one line on standard error, exit status 1, no traceback."""

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from tagstudy.core.printing import print_anywhere, visible

LONGEST = 1500  # characters of a message; of a longer one the middle is left out
# What the messages of libraries say when the disk or its quota is full ("requested and": numpy's), and when memory is.
DISK_FULL = ("No space left", "disk is full", "quota exceeded", "File too large", "requested and", "disk I/O error")
NO_MEMORY = ("allocate memory", "out of memory", "Unable to allocate")


class UserError(Exception):
    """An error that the user can fix. Its text is one line: the place, the problem, the remedy."""

    def __init__(self, text: str) -> None:
        super().__init__(one_line(text))


def one_line(text: str) -> str:
    """A message without control characters, shortened if it is long: libraries quote input in theirs."""
    text = visible(text)
    return text if len(text) <= LONGEST else f"{text[: LONGEST * 2 // 3]} ... {text[-LONGEST // 3 :]}"


@contextmanager
def user_errors(name: str, again: str = "run it again") -> Iterator[None]:
    """Turn errors that the user can fix into one line on standard error and exit status 1.

    These are :class:`UserError`, and a lack of memory, of disk space or of a file. Any other error is a bug and keeps
    its traceback. ``name`` is the program's; ``again`` says how to repeat what failed.
    """
    print_anywhere()
    try:
        yield
    except (Exception, KeyboardInterrupt) as problem:
        reason = explain(problem, again)
        if reason is None:
            raise
        sys.exit(one_line(f"{name}: {reason}"))


def explain(problem: BaseException, again: str) -> str | None:
    """An error that the user can fix, in a line; None for any other."""
    message = " ".join(str(problem).split())
    if isinstance(problem, UserError):
        return message
    if isinstance(problem, FileNotFoundError):
        return f"{problem.filename or message} is missing; `dvc repro` runs the stages that write it"
    if isinstance(problem, PermissionError):
        return f"{problem.filename or message}: permission denied; allow access to it and its folder, and {again}"
    if isinstance(problem, KeyboardInterrupt):
        return f"interrupted; {again}"
    if is_disk_full(problem):
        return f"the disk or its quota is full; make room and {again}"
    if "CUDA" in message and "out of memory" in message:
        remedy = "lower batch_size, raise threads (fewer runs at a time), or set CUDA_VISIBLE_DEVICES="
        return f"not enough memory on the GPU; free some, take a smaller encoder, or in training {remedy}"
    if "no kernel image" in message:
        return "this build of torch does not support this GPU; set train.device to cpu"
    if isinstance(problem, MemoryError) or any(sign in message for sign in NO_MEMORY):
        return "not enough memory; free some, or give fewer posts or tags"
    return message if isinstance(problem, OSError) else None


def is_disk_full(problem: BaseException) -> bool:
    """Whether an error means that a disk or a quota is full, and not that a file is damaged."""
    return any(sign in str(problem) for sign in DISK_FULL)


@contextmanager
def needs(extra: str, what: str) -> Iterator[None]:
    """A context for imports that ``what`` needs from requirements-EXTRA.txt. Raises :class:`UserError` if one fails."""
    try:
        yield
    except ImportError as problem:
        raise UserError(
            f"{what} needs {problem.name}, which is not installed; run pip install -r requirements-{extra}.txt"
        ) from None


def needs_pretrained() -> AbstractContextManager[None]:
    return needs("pretrained", "featurize_dense.embedding")
