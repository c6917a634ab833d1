"""Every reader takes any bytes: posts, skipped rows, or one line that says what is wrong; nothing else, and soon.

`make test-slow` feeds the readers mutated files for FUZZ_SECONDS (600); what was found so far is kept in KEPT. The
files are those of test_posts.py and, where there are some, the beginnings of real ones. The quick tests
read the same files on every machine.
"""

import gzip
import os
import random
import shutil
import time
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import partial
from itertools import count, takewhile
from pathlib import Path

import pytest
from conftest import REAL, seven_zipped, zipped
from test_cases import CASES
from test_posts import FORMATS, fasttext
from test_stacksample import LITE, TABLES

from tagstudy.core.errors import UserError
from tagstudy.data.archives import opened
from tagstudy.data.files import File, ReadOptions, described, distinct
from tagstudy.data.readers import Post, Skipped, of_posts, read_posts

SECONDS = float(os.environ.get("FUZZ_SECONDS", "600"))
SOON = 10  # seconds of the processor for a file of some kilobytes
FILES = 1000
TOKENS = [
    *(bytes([byte]) for byte in b"<>&;\"'\\\0\n\r,\t|[]{}"),
    *(b"<![CDATA[", b"<!DOCTYPE a [", b"<!ENTITY b SYSTEM 'file:///dev/zero'>", b"&b;", b"-->", b"<!--", b"&#x110000;"),
    *(b"\xff\xfe", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\\ud800", b"NaN", b"-1", b"1e999", b"null", b"__label__"),
    *(b"[" * 2000, b"(" * 500, b"9" * 5000, b"<p" * 500, b"PK\x01\x02", b"7z\xbc\xaf\x27\x1c", b"PAR1", b"\x1f\x8b"),
]
# name and bytes of what broke a reader once
KEPT = [
    ("a.tsv", b"title\t" + b"[" * 3000 + b"\n"),  # a line of all that
    ("Posts.xml", b'<posts><row PostTypeId="1" ' + b"a" * 5000 + b" /></posts>"),  # the same
    ("a.zip", zipped(é__csv=FORMATS["a.csv"]).replace("é".encode(), b"\xe5a")),  # a name that is not UTF-8
]


def in_folder(name: str, tables: Mapping[str, str | bytes]) -> dict[str, bytes]:
    return {
        f"{name}/{table}".lstrip("/"): data.encode() if isinstance(data, str) else data
        for table, data in tables.items()
    }


# By name; those in a folder are read together.
MADE_UP: dict[str, bytes] = {**FORMATS, "a.txt": fasttext()}
for case, (content, _, _) in CASES.items():
    MADE_UP |= in_folder(case, content) if isinstance(content, dict) else in_folder("", {case: content})
MADE_UP |= in_folder("stack", TABLES) | in_folder(
    "lite", {"questions.csv": LITE, "question_tags.csv": b"Id,Tag\n1,a\n"}
)
MADE_UP |= in_folder("splits", {"train.csv": FORMATS["a.csv"], "test.jsonl": FORMATS["a.jsonl"]})
MADE_UP["stack.zip"] = zipped(**{f"x/{name}".replace(".", "__"): data for name, data in TABLES.items()})
MADE_UP["stack.7z"] = seven_zipped(**{name.replace(".", "__"): data for name, data in TABLES.items()})
READ_OPTIONS = [
    *(ReadOptions(), ReadOptions(), ReadOptions(), ReadOptions(tagged=False)),
    *(ReadOptions(tag_separator=";"), ReadOptions(tag_separator="")),
    *(ReadOptions(encoding="cp1252"), ReadOptions(encoding="utf-16")),
    ReadOptions(columns={"body": ["Title", "Body"], "tags": ["Tags"]}),
    ReadOptions(False, {"title": "Title", "body": "body"}, encoding="utf-8", binding=False),
]


def beginnings() -> dict[str, bytes]:
    """Of the real files, where there are some."""
    files: dict[str, bytes] = {}
    for path in sorted(REAL.rglob("*.*")) if REAL.is_dir() else []:
        if path.suffix != ".md":
            with opened(path, "posts", of_posts) as (member, file):
                files[f"real{len(files)}{Path(member).suffix}"] = file.read(4000)
    return files


def mutate(data: bytes, chance: random.Random) -> bytes:
    """The bytes with one to eight changes: flipped, cut, doubled, moved, or replaced by what formats trip over."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 4, 8))):
        at = chance.randrange(len(changed) + 1)
        end = min(len(changed), at + chance.choice((1, 1, 2, 8, 64)))
        kind = chance.randrange(6)
        if kind == 0 and at < len(changed):
            changed[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            del changed[at:end]
        elif kind == 2:
            changed[at:at] = changed[at:end] * chance.choice((1, 2, 50))
        elif kind == 3:
            changed[at:at] = chance.choice(TOKENS)
        elif kind == 4:
            changed[at:end] = chance.randbytes(end - at)
        else:
            del changed[at if chance.random() < 0.2 else end :]
    return bytes(changed)


def packed(name: str, data: bytes, chance: random.Random) -> tuple[str, bytes]:
    """A file as it is, or in an archive that is whole."""
    if Path(name).suffix.lower() in (".gz", ".zip", ".7z") or chance.random() < 0.7:
        return name, data
    kind = chance.choice((".gz", ".zip", ".7z"))
    member = name.replace(".", "__")
    make = {".gz": partial(gzip.compress, mtime=0), ".zip": lambda d: zipped(zipfile.ZIP_STORED, **{member: d})}
    return name + kind, make.get(kind, lambda d: seven_zipped(**{member: d}))(data)


def read(path: Path, options: ReadOptions = READ_OPTIONS[0]) -> str:
    """What came of the file; raises whatever is not one line that names it."""
    begin = time.process_time()  # what else the machine does takes none of it
    try:
        files: list[File] = []
        for row in read_posts(path, options=options, files=files):
            if isinstance(row, Post):
                "".join([row.id, row.title, row.body, *row.tags, row.split or ""]).encode()
                assert (row.title or row.body) and all(isinstance(tag, str) and tag for tag in row.tags)
            else:
                assert isinstance(row, Skipped) and row.reason
        assert all(len(described(alike)) < 3000 for alike in distinct(files))
        came = "read"
    except UserError as problem:
        assert str(path) in str(problem)
        assert len(str(problem).splitlines()) == 1 and len(str(problem)) < 2000
        came = "refused"
    assert time.process_time() - begin < SOON
    return came


@pytest.mark.parametrize(("name", "data"), KEPT)
def test_what_broke_a_reader_once(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    read(tmp_path / name)


def fuzz(folder: Path, files: dict[str, bytes], turns: Iterable[int], seed: int) -> Counter[str]:
    """What came of the files, one of them mutated in each turn."""
    chance = random.Random(seed)
    came = Counter[str]()
    for _ in turns:
        name = chance.choice(list(files))
        place, _, _ = name.partition("/")
        together = {other: files[other] for other in files if other.startswith(f"{place}/") and other != name}
        mutated, data = packed(name, mutate(files[name], chance), chance)
        for each, content in {**together, mutated: data}.items():
            (folder / each).parent.mkdir(exist_ok=True)
            (folder / each).write_bytes(content)
        path, options = folder / (place if "/" in name else mutated), chance.choice(READ_OPTIONS)
        try:
            came[read(path, options)] += 1
        except Exception as problem:
            came["broke"] += 1
            kept = folder / f"broke-{came['broke']}-{path.name}"
            path.rename(kept)
            print(f"{kept}, {options}, {mutated}: {type(problem).__name__}: {problem!s:.300}")
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
    return came


def test_some_mutated_files_break_no_reader(tmp_path: Path) -> None:
    assert fuzz(tmp_path, MADE_UP, range(FILES), seed=0)["broke"] == 0


@pytest.mark.real_posts
def test_some_mutated_beginnings_of_real_files_break_no_reader(tmp_path: Path) -> None:
    assert fuzz(tmp_path, beginnings(), range(FILES), seed=0)["broke"] == 0


@pytest.mark.slow
def test_mutated_files_break_no_reader(tmp_path: Path) -> None:
    end = time.monotonic() + SECONDS
    turns = takewhile(lambda _: time.monotonic() < end, count())
    came = fuzz(tmp_path, MADE_UP | beginnings(), turns, seed=time.time_ns())
    print(f"{came.total():,} files in {SECONDS:.0f} s: {dict(came)}")
    assert came["broke"] == 0
