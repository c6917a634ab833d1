"""Opens a file as it is, or the one that an archive holds; one that unpacks to far more than it weighs is refused."""

import gzip
import io
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

from stage import BadInput

ARCHIVES = (".gz", ".zip", ".7z")
# An archive of a few bytes may unpack to terabytes; one of posts, to some ten times its size.
UNPACKED, UNPACKED_FREELY = 100, 2**24  # times its size; bytes that need no such measure


@contextmanager
def opened(path: Path, is_wanted: Callable[[str], bool]) -> Iterator[tuple[str, IO[bytes]]]:
    """The name and bytes of a file, or of the one file in an archive whose name is wanted.

    Raises :class:`BadInput` where there is not one, where it is encrypted, or where it is far larger than the archive.
    """
    suffix = path.suffix.lower()
    with ExitStack() as stack:
        if suffix == ".gz":
            yield path.stem, bounded(path, stack.enter_context(gzip.open(path)))  # type: ignore[arg-type]
        elif suffix == ".zip":
            archive = stack.enter_context(zipfile.ZipFile(path))
            member = only_member(path, archive.namelist(), is_wanted)
            yield member, bounded(path, stack.enter_context(archive.open(member)))
        elif suffix == ".7z":
            import py7zr

            folder = stack.enter_context(TemporaryDirectory())
            try:
                with py7zr.SevenZipFile(path) as archive:
                    member = only_member(path, archive.getnames(), is_wanted)
                    sizes = {entry.filename: entry.uncompressed for entry in archive.list()}
                    check_size(path, sizes[member])
                    archive.extract(path=folder, targets=[member])  # refuses a path that leaves the folder
            except py7zr.exceptions.PasswordRequired:
                raise BadInput(f"{path}: this archive is encrypted; unpack it first") from None
            except py7zr.exceptions.ArchiveError as problem:
                raise BadInput(
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
    """Raise :class:`BadInput` where what an archive unpacks to is far more than it weighs."""
    if unpacked > max(UNPACKED_FREELY, UNPACKED * path.stat().st_size):
        raise BadInput(
            f"{path}: unpacks to more than {UNPACKED} times its size, as text never does; if it is right, unpack it "
            "and name the file"
        )


def only_member(path: Path, names: list[str], is_wanted: Callable[[str], bool]) -> str:
    members = [name for name in names if is_wanted(name)]
    if len(members) != 1:
        found = f"several files of posts ({', '.join(members[:3])}, …)" if members else "no file of posts"
        raise BadInput(f"{path}: {found} in this archive; unpack it and name the file or the folder")
    return members[0]
