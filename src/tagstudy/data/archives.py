"""Opens a file, or the one wanted file of an archive; refuses an archive that unpacks to far more than its size."""

import gzip
import io
import lzma
import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import IO

from tagstudy.core.errors import UserError

ARCHIVES = (".gz", ".zip", ".7z")
SHOWN_FILES = 5  # names of an archive's files in an error message
# A few bytes may unpack to terabytes (a decompression bomb); an archive of posts unpacks to about ten times its size.
MAX_RATIO = 100  # unpacked to packed size
ALWAYS_ALLOWED = 2**24  # bytes unpacked, whatever the ratio
# Raised on opening or reading an archive that is damaged or none; RuntimeError for a zip with a password or of an
# unknown method; UnicodeDecodeError for names of its files that are not UTF-8.
UNREADABLE = (OSError, EOFError, RuntimeError, UnicodeDecodeError, zipfile.BadZipFile, zlib.error, lzma.LZMAError)
# What packed or binary files begin with, whatever their names say, and what to do.
NO_TEXT = {
    b"\x1f\x8b": "gzip, not text; add .gz to its name",
    b"PK\x03\x04": "a zip archive or a workbook, not text; add .zip to its name, or save the workbook as CSV",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive, not text; add .7z to its name",
    b"PAR1\x15": "Parquet, not text; let its name end in .parquet",
    b"BZh91AY&SY": "bzip2, not text; unpack it",
    b"\xfd7zXZ\0": "xz, not text; unpack it",
    b"\x28\xb5\x2f\xfd": "Zstandard, not text; unpack it",
    b"\xd0\xcf\x11\xe0": "a workbook of Excel, not text; save it as CSV",
    b"SQLite format 3\0": "a database of SQLite, not text; write its posts as CSV",
}


def refuse_packed(path: Path, beginning: bytes) -> None:
    """Raise :class:`UserError` for bytes of a file that its name calls text, but that is packed or binary."""
    for mark, what in NO_TEXT.items():
        if beginning.startswith(mark):
            raise UserError(f"{path}: this is {what}")


@contextmanager
def opened(path: Path, what: str, choose: Callable[[list[str]], list[str]]) -> Iterator[tuple[str, IO[bytes]]]:
    """The name and the bytes of a file, or of the one file that ``choose`` selects from the names in an archive.

    ``what`` says in error messages what is looked for.
    Raises :class:`UserError` for an archive where ``choose`` selects none or several, that is encrypted, or that
    unpacks to far more than its size.
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


def members(path: Path) -> list[str]:
    """The names of the files in a zip or 7z archive; none of another file, or of an archive that cannot be read."""
    try:
        if path.suffix.lower() == ".zip":
            with zipfile.ZipFile(path) as archive:
                return archive.namelist()
        if path.suffix.lower() == ".7z":
            import py7zr

            try:
                with py7zr.SevenZipFile(path) as packed:
                    return packed.getnames()
            except (py7zr.exceptions.ArchiveError, py7zr.exceptions.PasswordRequired):
                return []
    except UNREADABLE:  # reported when it is opened to be read
        pass
    return []


class Bounded(io.RawIOBase):
    """The bytes that an archive unpacks to, up to the size that :func:`check_size` allows."""

    def __init__(self, path: Path, stream: IO[bytes]) -> None:
        self.path, self.stream = path, stream

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:  # Parquet is read from its end
        return self.stream.seekable()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self.stream.seek(offset, whence)

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self.stream.read(len(buffer))
        check_size(self.path, self.stream.tell())
        buffer[: len(data)] = data
        return len(data)


def bounded(path: Path, stream: IO[bytes]) -> IO[bytes]:
    return io.BufferedReader(Bounded(path, stream), 2**17)


@contextmanager
def unpacked(stream: IO[bytes]) -> Iterator[IO[bytes]]:
    """The same bytes, in a temporary file where they come from an archive: each step back would unpack it again."""
    if isinstance(getattr(stream, "raw", None), Bounded):
        with TemporaryFile() as file:
            shutil.copyfileobj(stream, file)
            yield file
    else:
        yield stream


def check_size(path: Path, unpacked: int) -> None:
    """Raise :class:`UserError` for an archive that unpacks to far more bytes than its size."""
    if unpacked > max(ALWAYS_ALLOWED, MAX_RATIO * path.stat().st_size):
        raise UserError(
            f"{path}: unpacks to more than {MAX_RATIO} times its size, as text never does; if it is right, unpack it "
            "and name the file"
        )


def only_member(path: Path, names: list[str], what: str, choose: Callable[[list[str]], list[str]]) -> str:
    members = choose(names)
    if len(members) != 1:
        count = "several files" if members else "no file"
        listed = ", ".join((members or names)[:SHOWN_FILES]) or "which is empty"
        raise UserError(f"{path}: {count} of {what} in this archive, {listed}; unpack it and name the right file")
    return members[0]
