"""From a file or a folder, in any format and archive, to posts.

Files are only data: they are never executed and never unpickled, and an XML file that declares entities is refused.
"""

import json
import os
import re
import shlex
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from tagstudy.core.errors import UserError, is_disk_full
from tagstudy.data.archives import ARCHIVES, UNREADABLE, opened, refuse_packed
from tagstudy.data.fields import SPLIT_NAMES, Post, as_post
from tagstudy.data.files import SAMPLE, File, ReadOptions, Row, and_more, numbered, peek
from tagstudy.data.formats import PARTS, READERS
from tagstudy.data.stacksample import read_stacksample, tables_of
from tagstudy.data.tags import find_spelling

ABOUT = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json")  # a data set of Hugging Face's
# Files that may hold posts, but are not read.
DATA = (
    *(".bz2", ".xz", ".zst", ".rar", ".tar", ".tgz"),
    *(".tab", ".xls", ".xlsx", ".ods", ".feather", ".arrow", ".sqlite", ".db"),
)
PICKLES = (".pkl", ".pickle", ".joblib")
DEFAULTS = ReadOptions()


class Skipped(NamedTuple):
    """A row that is not a post."""

    reason: str  # answer, neither question nor answer, repeated header, no text, malformed row
    place: str  # the file, the row and the problem


def read_posts(
    source: str | Path, options: ReadOptions = DEFAULTS, files: list[File] | None = None
) -> Generator[Post | Skipped, None, None]:
    """Posts and skipped rows of a file, or of all files of a folder, sorted by name.

    ``options`` is what the parameters say of the source. Each file that is read is appended to ``files``, with what was
    detected in it.
    Raises :class:`UserError` for a source that is missing, empty, unreadable or not of the format that its name says.
    """
    files = [] if files is None else files
    for file in files_of(source, options):
        files.append(file)
        yield from read_file(file)


def files_of(source: str | Path, options: ReadOptions) -> list[File]:
    """The files of posts of a source, sorted by name. A folder that is read as one, such as StackSample, is one file.

    Raises :class:`UserError` for a source that is missing or holds none.
    """
    source = Path(source)
    try:
        source.stat()
    except OSError as problem:
        raise UserError(f"{source}: {problem.strerror}; name a file or a folder of posts") from None
    if source.is_file() or tables_of(source):
        return [File(source, options)]
    if not source.is_dir():
        raise UserError(f"{source}: neither a file nor a folder; name one of posts")
    inside = sorted(source.iterdir())
    paths = [path for path in inside if not path.is_dir() and holds_posts(path.name)]
    if lost := next((path for path in paths if not path.exists()), None):
        raise UserError(f"{lost}: a link to a file that is missing; fetch that, or remove the link")
    folders = and_more([f"{path.name}/" for path in inside if path.is_dir() and not path.name.startswith((".", "_"))])
    if not paths:
        hint = f"folders in it are not read: {folders}; name one of them, or " if folders else ""
        raise UserError(f"{source}: no posts in this folder; {hint}a file of posts ends in {endings()}")
    files = [File(path, options) for path in paths]
    unread = and_more(
        [path.name for path in inside if path.suffix.lower() in DATA + PICKLES and not path.name.startswith(".")]
    )
    if passed_over := ", ".join(filter(None, (folders, unread))):
        files[0].detected["passed_over"] = passed_over
    return files


def parts_of(file: File) -> Iterator[File]:
    """The parts of a file that can be read each by itself, in order; of most formats, the whole."""
    suffix = file.path.suffix.lower()
    if suffix not in PARTS:
        yield file
        return
    with reading_errors(file):
        yield from PARTS[suffix](file)


def endings() -> str:
    """The file names that are read, for messages."""
    return f"{', '.join(READERS)}, or one of these with {', '.join(ARCHIVES)} behind it"


def of_posts(names: list[str]) -> list[str]:
    """Those names that are files of posts."""
    return list(filter(holds_posts, names))


def holds_posts(name: str) -> bool:
    """Whether a file in a folder or archive holds posts, by its name. Of a dump's .xml files only Posts.xml does."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.name.startswith((".", "__")) or "__MACOSX" in path.parts:
        return False
    stem, suffix = path.stem.lower(), path.suffix.lower()
    if suffix in ARCHIVES:
        inner = PurePosixPath(stem)
        if suffix != ".gz" and inner.suffix not in READERS:
            return True  # a whole site's archive, such as crypto.stackexchange.com.7z
        stem, suffix = inner.stem, inner.suffix
    if suffix == ".xml":
        return stem.endswith("posts")
    return suffix in READERS and stem not in ("readme", "license") and path.name.lower() not in ABOUT


def read_file(file: File) -> Iterator[Post | Skipped]:
    """Posts and skipped rows of one file."""
    path = file.path
    if tables := tables_of(path):
        with reading_errors(file):
            yield from posts_of(file, read_stacksample(file, tables), None)
        return
    if path.stat().st_size == 0:
        raise UserError(f"{path}: the file is empty; fetch or export it again, or remove it")
    if path.suffix.lower() in PICKLES:
        raise UserError(
            f"{path}: a pickle can run any program and is not read; if you trust it, run {unpickling(path)}"
        )
    with reading_errors(file), opened(path, "posts", of_posts) as (name, stream):
        suffix = PurePosixPath(name).suffix.lower()
        if suffix not in READERS:
            raise UserError(f"{path}: cannot read '{suffix}' files; a file of posts ends in {endings()}")
        if suffix != ".parquet":
            refuse_packed(path, stream.peek(16)[:16])  # type: ignore[attr-defined]
        split = split_in_name(PurePosixPath(name).name) or split_in_name(path.name)
        yield from posts_of(file, READERS[suffix](file, stream), split)


def posts_of(file: File, rows: Iterator[Row], split: str | None) -> Iterator[Post | Skipped]:
    """Posts and skipped rows; the spelling of their tags is detected from the file's first rows."""
    full = str(file.path)  # once: a Path is slow to convert
    short = os.fsencode(file.path.name).decode(errors="replace")
    sample, rows = peek(numbered(file, rows), 1 if file.tag_cells else SAMPLE)
    tag_cells = file.tag_cells or [row.fields.get("tags") for row in sample if row.fields]
    spelling = find_spelling(file, tag_cells)
    for number, fields, problem in rows:
        if fields is None:
            yield Skipped(problem.split(":")[0], f"{full}, row {number}: {problem}")
            continue
        try:
            post = as_post(fields, f"{short}:{number}", split, spelling)
        except ValueError as error:
            yield Skipped("malformed row", f"{full}, row {number}: malformed row: {error}")
            continue
        yield post if post.title or post.body else Skipped("no text", f"{full}, row {number}: no text")


@contextmanager
def reading_errors(file: File) -> Iterator[None]:
    """Reports errors of archives and files in one line."""
    try:
        yield
    except UNREADABLE as problem:
        if is_disk_full(problem):  # where a 7z archive is unpacked
            raise
        remedy = "allow reading it" if isinstance(problem, PermissionError) else "fetch it again"
        raise UserError(f"{file.path}, after row {file.row}: cannot be read ({problem!s:.200}); {remedy}") from None


def unpickling(path: Path) -> str:
    """The command that turns a pickled table into Parquet."""
    before, after = (json.dumps(str(name), ensure_ascii=False) for name in (path, path.with_suffix(".parquet")))
    return "python -c " + shlex.quote(f"import joblib; joblib.load({before}).to_parquet({after})")


def split_in_name(name: str) -> str | None:
    """The split that a file's name starts with: train for train.csv, train_posts.csv, train-00000-of-00002.parquet.

    Or ends with, as fastText's cooking.train does.
    """
    return SPLIT_NAMES.get(re.split(r"[-._]", name)[0].lower()) or SPLIT_NAMES.get(
        PurePosixPath(name.lower()).suffix.removeprefix(".")
    )
