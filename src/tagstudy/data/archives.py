"""Opens a file as it is, or the one that an archive holds; one that unpacks to far more than it weighs is refused."""

import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

from tagstudy.core.errors import UserError

ARCHIVES = (".gz", ".zip", ".7z")
SHOWN = 5  # names in an archive, where it is not clear which is meant
# An archive of a few bytes may unpack to terabytes; one of posts, to some ten times its size.
UNPACKED, UNPACKED_FREELY = 100, 2**24  # times its size; bytes that need no such measure
# What opening one raises, or reading on, where it is damaged or none; RuntimeError for a zip with a password or an
# unknown method.
UNREADABLE = (OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error, lzma.LZMAError)


@contextmanager
def opened(path: Path, what: str, choose: Callable[[list[str]], list[str]]) -> Iterator[tuple[str, IO[bytes]]]:
    """The name and bytes of a file, or of the one in an archive that ``choose`` takes of the names there.

    ``what`` says what it looks for, where there is not one.
    Raises :class:`UserError` where there is not one, where it is encrypted, or where it is far larger than the archive.
    """
    suffix = path.suffix.lower()
    with ExitStack() as stack:
        if suffix == ".gz":
            yield path.stem, bounded(path, stack.enter_context(gzip.open(path)))  # type: ignore[arg-type]
        elif suffix == ".zip":
            archive = stack.enter_context(zipfile.ZipFile(path))
            names = [name for name in archive.namelist() if name and not name.endswith("/")]
            member = only_member(path, names, what, choose)
            yield member, bounded(path, stack.enter_context(archive.open(member)))
        elif suffix == ".7z":
            import py7zr

            folder = stack.enter_context(TemporaryDirectory())
            try:
                with py7zr.SevenZipFile(path) as archive:
                    sizes = {entry.filename: entry.uncompressed for entry in archive.list() if entry.is_file}
                    member = only_member(path, list(sizes), what, choose)
                    check_size(path, sizes[member])
                    archive.extract(path=folder, targets=[member])  # refuses a path that leaves the folder
            except py7zr.exceptions.PasswordRequired:
                raise UserError(f"{path}: this archive is encrypted; unpack it first") from None
            except py7zr.exceptions.ArchiveError as problem:
                raise UserError(
                    f"{path}: not a 7z archive that can be read ({problem!s:.200}); fetch it again"
                ) from None
            yield member, stack.enter_context((Path(folder) / member).open("rb"))
        else:
            yield path.name, stack.enter_context(path.open("rb"))


class Bounded(io.RawIOBase):
    """What an archive unpacks to, up to the size that :func:`check_size` allows."""

    def __init__(self, path: Path, stream: IO[bytes]) -> None:
        self.path, self.stream = path, stream

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:  # Parquet is read from its end
        return self.stream.seekable()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self.stream.seek(offset, whence)

    def tell(self) -> int:
        return self.stream.tell()

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        found = self.stream.read(len(buffer))
        check_size(self.path, self.stream.tell())
        buffer[: len(found)] = found
        return len(found)


def bounded(path: Path, stream: IO[bytes]) -> IO[bytes]:
    return io.BufferedReader(Bounded(path, stream), 2**17)


def check_size(path: Path, unpacked: int) -> None:
    """Raise :class:`UserError` where what an archive unpacks to is far more than it weighs."""
    if unpacked > max(UNPACKED_FREELY, UNPACKED * path.stat().st_size):
        raise UserError(
            f"{path}: unpacks to more than {UNPACKED} times its size, as text never does; if it is right, unpack it "
            "and name the file"
        )


def only_member(path: Path, names: list[str], what: str, choose: Callable[[list[str]], list[str]]) -> str:
    members = choose(names)
    if len(members) != 1:
        found = "several files" if members else "no file"
        there = ", ".join((members or names)[:SHOWN]) or "which holds no file"
        raise UserError(f"{path}: {found} of {what} in this archive, {there}; unpack it and name the one that is meant")
    return members[0]
