"""Readers for every format that tagged posts come in; each post becomes a `Post`.

Files are data and nothing else: never executed, never unpickled; an XML file that declares entities is refused.
"""

import ast
import csv
import errno
import io
import json
import re
import shlex
from collections.abc import Generator, Iterator
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

from tagstudy.core.errors import UserError
from tagstudy.data.archives import ARCHIVES, UNREADABLE, opened
from tagstudy.data.text import clean, unescape

PICKLES = (".pkl", ".pickle", ".joblib")
SPLIT_NAMES = {
    "train": "train", "training": "train",
    "valid": "valid", "validation": "valid", "val": "valid", "dev": "valid",
    "test": "test", "testing": "test",
}  # fmt: skip

csv.field_size_limit(2**31 - 1)  # the default of 128 KiB is less than a long post


class Post(NamedTuple):
    id: str
    text: str  # title, line break, body; HTML gone, code kept
    tags: list[str]
    split: str | None = None  # train, valid or test, where the source says so


class Skipped(NamedTuple):
    """A row that is not a post."""

    reason: str  # answer, repeated header, no text, malformed row
    place: str  # the file, the row, and what is wrong with it


class Row(NamedTuple):
    number: int
    fields: dict[str, Any] | None  # None: not a post, and `problem` says why
    problem: str = ""


# --------------------------------------------------------------------------- files


def read_posts(source: str | Path, tagged: bool = True) -> Generator[Post | Skipped, None, None]:
    """Posts and skipped rows of a file, or of every file of a folder in order of name; their tags only if ``tagged``.

    Raises :class:`UserError` where the source is missing, empty, unreadable or not what its name says.
    """
    source = Path(source)
    try:
        source.stat()
    except OSError as problem:
        raise UserError(f"{source}: {problem.strerror}; name a file or a folder of posts") from None
    if source.is_file():
        yield from read_file(source, tagged)
        return
    if not source.is_dir():
        raise UserError(f"{source}: neither a file nor a folder; name one of posts")
    files = [path for path in sorted(source.iterdir()) if path.is_file() and holds_posts(path.name)]
    if not files:
        raise UserError(f"{source}: no posts in this folder; a file of posts ends in {endings()}")
    for path in files:
        yield from read_file(path, tagged)


def endings() -> str:
    return f"{', '.join(READERS)}, or one of these with {', '.join(ARCHIVES)} behind it"


def of_posts(names: list[str]) -> list[str]:
    return list(filter(holds_posts, names))


def holds_posts(name: str) -> bool:
    """Whether a file of a folder or of an archive is one of posts. Of a dump's many .xml files, only Posts.xml is."""
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
    return suffix in READERS and stem not in ("readme", "license")


def read_file(path: Path, tagged: bool) -> Iterator[Post | Skipped]:
    """Posts and skipped rows of one file."""
    if path.stat().st_size == 0:
        raise UserError(f"{path}: the file is empty; fetch or export it again")
    if path.suffix.lower() in PICKLES:
        raise UserError(
            f"{path}: a pickle can run any program, so none is read; if you trust it, run {unpickling(path)}"
        )
    number = 0
    try:
        with opened(path, "posts", of_posts) as (name, stream):
            suffix = PurePosixPath(name).suffix.lower()
            if suffix not in READERS:
                raise UserError(f"{path}: cannot read '{suffix}' files; a file of posts ends in {endings()}")
            split = split_in_name(PurePosixPath(name).name) or split_in_name(path.name)
            full, short = str(path), path.name  # a Path takes its time to tell
            for number, fields, problem in READERS[suffix](path, stream, tagged):
                if fields is None:
                    yield Skipped(problem.split(":")[0], f"{full}, row {number}: {problem}")
                    continue
                try:
                    post = as_post(fields, f"{short}:{number}", split)
                except ValueError as unread:
                    yield Skipped("malformed row", f"{full}, row {number}: malformed row: {unread}")
                    continue
                yield post if post.text else Skipped("no text", f"{full}, row {number}: no text")
    except UnicodeDecodeError as problem:
        raise UserError(
            f"{path}, after row {number}: not UTF-8 ({problem.reason}); convert it, e.g. with "
            "`iconv -f windows-1252 -t utf-8 OLD > NEW`"
        ) from None
    except UNREADABLE as problem:
        if isinstance(problem, OSError) and problem.errno == errno.ENOSPC:  # where a 7z archive is unpacked
            raise
        raise UserError(f"{path}, after row {number}: cannot be read ({problem!s:.200}); fetch it again") from None


def unpickling(path: Path) -> str:
    """The command that turns a pickled table into Parquet."""
    before, after = (json.dumps(str(name), ensure_ascii=False) for name in (path, path.with_suffix(".parquet")))
    return "python -c " + shlex.quote(f"import joblib; joblib.load({before}).to_parquet({after})")


def split_in_name(name: str) -> str | None:
    """train for train.csv, train_posts.csv and train-00000-of-00002.parquet."""
    return SPLIT_NAMES.get(re.split(r"[-._]", name)[0].lower())


# --------------------------------------------------------------------------- fields


COLUMNS = {
    "id": ["id"],
    "title": ["title"],
    "body": ["body", "content", "text"],
    "text": ["cleaned_text"],
    "tags": ["tags"],
    "split": ["split"],
}
# Other names that people give to what is missing.
LIKELY = {
    "tags": ["label", "labels", "category", "categories", "topic", "topics", "keyword", "keywords", "class", "classes"],
    "title": ["question", "post", "document", "description", "message", "subject", "headline", "sentence", "summary"],
}


def columns(path: Path, names: list[str], tagged: bool) -> dict[str, str]:
    """Which column of the file holds what, by their usual names in any case; tags only if they are wanted."""
    lowered = {str(name).strip().lower(): name for name in reversed(names)}
    found = {
        field: next(lowered[usual] for usual in usuals if usual in lowered)
        for field, usuals in COLUMNS.items()
        if not lowered.keys().isdisjoint(usuals) and (tagged or field != "tags")
    }
    for wanted in [("tags",)] * tagged + [("title", "body", "text")]:
        if found.keys().isdisjoint(wanted):
            usual = [name for field in wanted for name in COLUMNS[field]]
            free = [name for name in lowered if lowered[name] not in found.values()]
            likely = [name for name in free if name in LIKELY[wanted[0]] or get_close_matches(name, usual, cutoff=0.7)]
            remedy = f"rename {lowered[likely[0]]!r:.40} to {wanted[0]!r}, if it is that" if likely else "add one"
            if len(names) == 1 and ";" in names[0]:  # as spreadsheets save where a comma stands in numbers
                remedy = "save it with commas between columns, not semicolons"
            raise UserError(
                f"{path}: needs a column {' or '.join(map(repr, usual))}; its columns are "
                f"{', '.join(f'{name!r:.40}' for name in names[:20]) or 'none'}; {remedy}"
            )
    return found


def as_post(fields: dict[str, Any], default_id: str, split: str | None) -> Post:
    """A post from the fields of a row: `id`, `title`, `body` (HTML) or else `text` (plain), `tags`, `split`.

    Raises ValueError for tags that do not parse and for characters that no file could hold (lone surrogates).
    """
    title = unescape(as_text(fields.get("title"))).replace("\n", " ").strip()  # the first line of the text
    body = clean(as_text(fields.get("body"))) or as_text(fields.get("text")).strip()
    own_split = as_text(fields.get("split")).strip().lower()
    post = Post(
        id=as_text(fields.get("id")).strip() or default_id,
        text="\n".join(part for part in (title, body) if part),
        tags=parse_tags(fields.get("tags")),
        split=SPLIT_NAMES.get(own_split, own_split or split),
    )
    "".join([post.id, post.text, *post.tags]).encode()
    return post


def as_text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode()
    return "" if value is None or value != value else str(value)


def parse_tags(value: Any) -> list[str]:
    """Distinct tag names, in order, from any of their spellings.

    A list; `<a><b>` (older data dumps); `|a|b|` (newer ones); a Python or JSON list as text; `a, b`; `a; b`; `a b`.
    Raises ValueError for a list that does not parse, for a value that is neither text nor list, and for tags of several
    words between commas: of a row without a comma nobody knew whether it holds one tag or several.
    """
    if as_text(value) == "":
        return []
    if isinstance(value, str):
        value = value.strip()
        if value.startswith(("[", "(")):
            value = parse_list(value)
        elif value.startswith("<") and value.endswith(">"):
            value = re.split(r">\s*<", value[1:-1])
        elif value.startswith("|"):
            value = value.split("|")
        elif {",", ";"} & set(value):
            value = re.split(r"\s*[,;]\s*", value)
            if words := next((tag for tag in value if len(tag.split()) > 1), None):
                raise ValueError(f"{words!r:.40} between commas: tags of several words are written |one tag|other|")
        else:
            value = value.split()
    if not isinstance(value, list):
        raise ValueError(f"tags are not a list: {value!r:.60}")
    return list(dict.fromkeys(tag for tag in (as_text(tag).strip() for tag in value) if tag))


def parse_list(text: str) -> list[Any]:
    """A Python or JSON list, or a numpy array printed into a CSV (`['a' 'b']`, which Python would read as ['ab'])."""
    if len(text) > 10_000:  # literal_eval takes hundreds of bytes of memory for each of text
        raise ValueError("a list of tags of more than 10,000 characters")
    text = re.sub(r"""(?<=['"])\s+(?=['"])""", ", ", text)
    for parse in (json.loads, ast.literal_eval):
        try:
            return list(parse(text))
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
    raise ValueError(f"tags are not a list: {text:.60}")


# --------------------------------------------------------------------------- formats


def read_dump(path: Path, stream: IO[bytes], tagged: bool) -> Iterator[Row]:
    """Questions of a Stack Exchange Data Dump's Posts.xml, streamed."""
    from lxml import etree

    if b"<!DOCTYPE" in stream.peek(2**12):  # type: ignore[attr-defined]
        raise UserError(f"{path}: declares a DOCTYPE, which no data dump does; remove it")
    number = 0
    try:
        elements = etree.iterparse(stream, resolve_entities=False, no_network=True, load_dtd=False)
        for place, (_, element) in enumerate(elements):
            if place == 0 and element.getroottree().docinfo.doctype:
                raise UserError(f"{path}: declares a DOCTYPE, which no data dump does; remove it")
            if element.tag == "row":
                number += 1
                kind = element.get("PostTypeId")
                if kind is None:
                    raise UserError(f"{path}, row {number}: no PostTypeId; is this a dump's Posts.xml?")
                if kind == "1":
                    names = {"id": "Id", "title": "Title", "body": "Body"} | ({"tags": "Tags"} if tagged else {})
                    yield Row(number, {field: element.get(name) for field, name in names.items()})
                else:
                    yield Row(number, None, "answer" if kind == "2" else "neither question nor answer")
            element.clear()
            while element.getprevious() is not None and element.getparent() is not None:
                del element.getparent()[0]  # the root would keep every row
    except etree.XMLSyntaxError as problem:
        raise UserError(
            f"{path}, after row {number}: broken XML ({problem.msg:.200}); fetch it again or cut it there"
        ) from None
    if number == 0:
        raise UserError(f"{path}: no <row> in it; is this a dump's Posts.xml?")


def read_csv(path: Path, stream: IO[bytes], tagged: bool, delimiter: str = ",") -> Iterator[Row]:
    rows = csv.reader(io.TextIOWrapper(stream, encoding="utf-8-sig", newline=""), delimiter=delimiter, strict=True)
    try:
        header = next(rows, [])
    except csv.Error as problem:
        raise UserError(f"{path}, row 1: {problem}; mend the header") from None
    where = {field: header.index(name) for field, name in columns(path, header, tagged).items()}
    number = 1
    while True:
        number += 1
        line = rows.line_num + 1
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as problem:
            if str(problem) == "unexpected end of data":  # the quote took in every row behind it
                raise UserError(
                    f"{path}, row {number}: a quote in line {line} is never closed; close it, or fetch the file again"
                ) from None
            yield Row(number, None, f"malformed row: {problem}, at line {line}")
            continue
        if row == header:
            yield Row(number, None, "repeated header")
        elif len(row) == len(header):
            yield Row(number, {field: row[column] for field, column in where.items()})
        elif row:
            yield Row(number, None, f"malformed row: {len(row)} columns, not {len(header)}, at line {line}")


def read_tsv(path: Path, stream: IO[bytes], tagged: bool) -> Iterator[Row]:
    return read_csv(path, stream, tagged, delimiter="\t")


def read_parquet(path: Path, stream: IO[bytes], tagged: bool) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        table = pq.ParquetFile(stream)
        named = columns(path, table.schema_arrow.names, tagged)
        for batch in table.iter_batches(batch_size=100, columns=list(named.values())):
            for row in batch.to_pylist():
                number += 1
                yield Row(number, {field: row[name] for field, name in named.items()})
    except pa.ArrowException as problem:
        raise UserError(
            f"{path}, after row {number}: not Parquet that can be read ({problem!s:.200}); fetch it again"
        ) from None


def read_json_lines(path: Path, stream: IO[bytes], tagged: bool) -> Iterator[Row]:
    named: dict[tuple[str, ...], dict[str, str]] = {}  # rows may differ in their keys
    for number, line in enumerate(io.TextIOWrapper(stream, encoding="utf-8-sig"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError("not an object")
        except (ValueError, RecursionError) as problem:
            yield Row(number, None, f"malformed row: {problem!s:.200}")
            continue
        keys = tuple(row)
        if keys not in named:
            try:
                named[keys] = columns(path, list(keys), tagged)
            except UserError as problem:
                if not named:  # the first row speaks for the file
                    raise
                yield Row(number, None, f"malformed row: {problem!s:.200}")
                continue
        yield Row(number, {field: row[name] for field, name in named[keys].items()})


def read_fasttext(path: Path, stream: IO[bytes], tagged: bool) -> Iterator[Row]:
    """Lines of `__label__tag __label__tag words`."""
    for number, line in enumerate(io.TextIOWrapper(stream, encoding="utf-8-sig"), start=1):
        words = line.split()
        tags = [word.removeprefix("__label__") for word in words if word.startswith("__label__")]
        if tags or (words and not tagged):
            text = " ".join(word for word in words if not word.startswith("__label__"))
            yield Row(number, {"text": text, "tags": tags})
        elif words:
            yield Row(number, None, "malformed row: no __label__ in it")


READERS = {
    ".xml": read_dump,
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".parquet": read_parquet,
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
    ".txt": read_fasttext,
}
