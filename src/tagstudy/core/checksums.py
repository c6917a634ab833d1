"""What a stage wrote, and from what: a file SHA256SUMS in its folder, in the format of `sha256sum --check`.

It lists every file of the folder, and the SHA256SUMS of each folder that these were made from. So a file that is not
what its stage wrote is found out wherever it is read, and so are folders that do not belong together: after a stage
that ran alone, or after `git checkout` without `dvc checkout`.
"""

import hashlib
import os
from pathlib import Path

from tagstudy.core.errors import UserError
from tagstudy.core.paths import repro

SUMS = "SHA256SUMS"
UNSEALED = ("timings.json", "README.md")  # seconds, which differ each time; a model card, which its reader may edit


def seal(folder: Path, *made_from: Path, final: Path | None = None) -> None:
    """Write the checksums of a folder, which will be ``final``, and of the folders that it was made from."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in (SUMS, *UNSEALED))
    lines = [f"{checksum(path)}  {path.relative_to(folder).as_posix()}" for path in files]
    lines += [f"{checksum(source / SUMS)}  {name_from(final or folder, source)}" for source in made_from]
    (folder / SUMS).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def checked(path: Path) -> Path:
    """The path of a file that a stage wrote. Raises :class:`UserError` where it is not what the stage wrote.

    A file in no folder with checksums, such as one that is still being made, passes.
    """
    for folder in path.parents:
        if folder == Path():  # the study's own: a file of this name came with someone's download
            break
        if (folder / SUMS).exists():
            if read_sums(folder).get(path.relative_to(folder).as_posix()) != checksum(path):
                raise damaged(path, "its contents have changed")
            break
    return path


def check_made_from(folder: Path, *sources: Path) -> None:
    """Raise :class:`UserError` if these sources have changed since the folder was made from them."""
    sums = read_sums(folder)
    for source in sources:
        if sums.get(name_from(folder, source)) != checksum(source / SUMS):
            raise UserError(
                f"{folder} was not made from this {source}; run `dvc repro`, or `dvc checkout` after a `git checkout`"
            )


def check_whole(folder: Path, remedy: str) -> None:
    """Raise :class:`UserError` where a file of a folder is missing, or is not as it was written."""
    if not (folder / SUMS).exists():
        raise UserError(f"{folder}: its {SUMS} is missing; {remedy}")
    for name, digest in read_sums(folder).items():
        path = folder / name
        if not path.is_file():
            raise UserError(f"{path}: missing; {remedy}")
        if checksum(path) != digest:
            raise UserError(f"{path}: damaged (its contents have changed); {remedy}")


def damaged(path: Path, reason: object) -> UserError:
    """The error for a file that a stage wrote and that cannot be used."""
    return UserError(f"{path}: damaged ({reason!s:.200}); run `{repro(path)}`")


def name_from(folder: Path, source: Path) -> str:
    """How the checksums of a folder list those of another."""
    return f"{Path(os.path.relpath(source, folder)).as_posix()}/{SUMS}"


def read_sums(folder: Path) -> dict[str, str]:
    """The checksum of each file, by its name in the folder."""
    lines = (folder / SUMS).read_text(encoding="utf-8", errors="replace").splitlines()
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


def checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
