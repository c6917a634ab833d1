"""A fingerprint of all that an intermediate result depends on. A stopped stage reuses results whose own is the same."""

import os
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path

LIBRARY = Path(__file__).parents[1]


def fingerprint(*facts: object, code: Iterable[Path] = (), files: Iterable[Path] = ()) -> str:
    """Changes when a fact, a Python file in the folders of ``code``, or one of the files does.

    Files are known by size and time, as make knows them.
    """
    digest = blake2b(repr(facts).encode())
    for source in sorted(path for folder in code for path in folder.rglob("*.py")):
        digest.update(source.read_bytes())
    for file in sorted(files):
        status = file.stat()
        digest.update(os.fsencode(file) + f" {status.st_size} {status.st_mtime_ns}".encode())
    return digest.hexdigest()
