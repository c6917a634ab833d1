"""A source that cannot be used ends the stage with status 1 and a line that names the file, the place and the remedy.

What an earlier run wrote stays to the last byte.
"""

import bz2
import gzip
import os
import pickle
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pandas as pd
import py7zr
import pytest
from conftest import call, damaged, marked, rows, run_stage, seven_zipped, write_params, zipped
from test_posts import dump, parquet

import ingest as ingest_stage

MANY = b"title,tags\n" + b"".join(b"title %d,a\n" % number for number in range(20_000))
ROW = '<posts><row PostTypeId="1" Title="x" Tags="a" Body="{}"/></posts>'
LAUGHS = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
ZEROS = b"title,tags\n" + bytes(50_000_000)


def nameless(data: bytes) -> bytes:
    """A zip archive whose only member, of a name of one letter, has it as a comment."""
    changed, header = bytearray(data), data.index(b"PK\x01\x02")
    changed[header + 28], changed[header + 32] = 0, 1
    return bytes(changed)


def malformed(*lines: bytes) -> bytes:
    return rows(["a", "b"], ["a"]) + b"\n" + b"\n".join(lines)


# name of the file, its bytes, what the line has to say; more changes of the section `ingest`
FILES: dict[str, tuple[str, bytes, str]] = {
    "empty": ("a.csv", b"", "empty"),
    "unknown ending": ("a.docx", b"x", r"'\.docx'.* ends in \.xml"),
    "no tags column": ("a.csv", b"id,title,label\n", "'tags'.*'id', 'title', 'label'; rename 'label' to 'tags'"),
    "no tags column in Parquet": ("a.parquet", parquet({"title": ["x"]}), "'tags'.*'title'; add one"),
    "semicolons between columns": ("a.csv", b"title;label\nx;a\n", "'title', 'label'; rename 'label' to 'tags'"),
    "no text column": ("a.tsv", b"id\ttags\n", "'title'.*'id', 'tags'"),
    "a misspelt column": ("a.csv", b"Titel,tags\n", "'Titel', 'tags'; rename 'Titel' to 'title'"),
    "no header": ("a.csv", b"How do I sort a list?,python\n", "'tags'.*'python'"),
    "header with a quote never closed": ("a.csv", b'"title,tags\nx,a\n', ""),
    "a quote never closed": ("a.csv", b'title,tags\n"x,a\n' + MANY, "row 2: a quote in line 2 is never closed"),
    "not UTF-8 far behind": (
        "a.csv",
        b"title,tags\n" + (b"x" * 400 + b",a\n") * 3000 + b"na\xefve,a\n",
        "not UTF-8 .*set ingest.encoding, such as cp1252",
    ),
    "gzip by another name": ("a.csv", gzip.compress(MANY), "this is gzip, not text; add .gz to its name"),
    "zip by another name": ("a.jsonl", zipped(a__csv=MANY), "a zip archive or a workbook.*add .zip"),
    "Parquet by another name": ("a.csv", parquet(), "this is Parquet.*end in .parquet"),
    "bzip2 by another name": ("Posts.xml", bz2.compress(MANY), "this is bzip2, not text; unpack it"),
    "a table by the name of fastText": ("a.txt", b'"Id"\tTitle\tTags\n1\tx\ta\n', "a table.*end in .tsv"),
    "a picture": ("a.csv", b"\x89PNG\r\n\x1a\n" + bytes(100), "not UTF-8"),
    "not UTF-8 in XML": ("Posts.xml", b'<posts><row PostTypeId="1" Title="\xff"/></posts>', "encoding"),
    "not JSON": ("a.jsonl", b"title,tags\nx,a\n", "row 1.*malformed"),
    "a JSON list of numbers": ("a.json", b"[1, 2]", "no list of objects"),
    "JSON cut off": ("a.json", b'[{"title": "x", "tags": "a"}, {', "after row 1: malformed JSON"),
    "columns in JSON": ("a.json", b'{"title": {"0": "x"}, "tags": {"0": "a"}}', "no list of objects"),
    "two lists in JSON": (
        "a.json",
        b'{"train": [{"title": "x", "tags": "a"}], "test": [{"title": "y", "tags": "a"}]}',
        "lists of objects at 'train.item' and 'test.item'; put each list into its own file",
    ),
    "not fastText": ("a.txt", b"How do I sort a list?\n", "__label__"),
    "truncated .gz": ("a.csv.gz", gzip.compress(MANY)[:-3000], "ended before.*fetch it again"),
    "truncated .gz of XML": ("Posts.xml.gz", gzip.compress(dump())[:-20], "ended before"),
    "damaged .gz": ("a.csv.gz", damaged(gzip.compress(MANY)), ""),
    "not gzip": ("a.csv.gz", b"title,tags\n", "gzip"),
    "not a zip": ("a.zip", b"title,tags\n", "not a zip"),
    "several in a zip": ("a.zip", zipped(a__csv=b"x", b__csv=b"x"), r"several.*a\.csv, b\.csv"),
    "an empty zip": ("a.zip", zipped(), "no file of posts in this archive, which is empty; unpack"),
    "a file without a name in a zip": ("a.zip", nameless(zipped(a=b"x")), "no file of posts"),
    "none in a zip": ("a.zip", zipped(readme__md=b"x"), "no file of posts"),
    "damaged zip": ("a.zip", damaged(zipped(a__csv=MANY)), ""),
    "damaged zip by LZMA": ("a.zip", damaged(zipped(zipfile.ZIP_LZMA, a__csv=MANY)), ""),
    "encrypted zip": ("a.zip", marked(zipped(a__csv=MANY), 0, 1), "encrypted|password"),
    "Deflate64 zip": ("a.zip", marked(zipped(a__csv=MANY), 2, 9), "method|compression"),
    "not 7z": ("a.7z", b"title,tags\n", "7z"),
    "none in 7z": ("a.7z", seven_zipped(readme__md=b"x"), "no file of posts"),
    "several in 7z": ("a.7z", seven_zipped(a__csv=b"x", b__csv=b"x"), "several"),
    "cut 7z": ("a.7z", seven_zipped(a__csv=MANY)[:-50], "7z"),
    "damaged 7z": ("a.7z", damaged(seven_zipped(a__csv=MANY)), ""),
    "encrypted 7z": ("a.7z", seven_zipped(password="secret", a__csv=MANY), "encrypted|[Pp]assword"),
    "a bomb by gzip": ("a.csv.gz", gzip.compress(ZEROS), "more than 100 times its size"),
    "a bomb in a zip": ("a.zip", zipped(a__csv=ZEROS), "more than 100 times its size"),
    "a bomb in 7z": ("a.7z", seven_zipped(a__csv=ZEROS), "more than 100 times its size"),
    "not Parquet": ("a.parquet", b"title,tags\n", "Parquet"),
    "cut Parquet": ("a.parquet", parquet()[:-10], "Parquet"),
    "Parquet that is not UTF-8": (
        "a.parquet",
        parquet({"title": ["Gr\u00f6\u00dfe"] * 9, "tags": ["a"] * 9}).replace(
            "Gr\u00f6\u00dfe".encode(), b"Gr\xf6\xdfe.."
        ),
        "a.parquet, row 1: malformed row: 'utf-8' codec.*the source holds no post",
    ),
    "damaged Parquet": ("a.parquet", damaged(parquet(), 20), ""),
    "not XML": ("Posts.xml", b"title,tags\n", "malformed XML"),
    "no row": ("Posts.xml", b"<posts></posts>", "<row>"),
    "another table of a dump": ("Users.xml", b'<users><row Id="1" Name="x"/></users>', "row 1: no PostTypeId"),
    "a row for a root": ("Posts.xml", b'<!-- x --><row Id="1" Name="x"/>', "PostTypeId"),
    "DOCTYPE with entities": (
        "Posts.xml",
        f'<!DOCTYPE posts [<!ENTITY a0 "ha">{LAUGHS}]>{ROW.format("&a9;")}'.encode(),
        "DOCTYPE.*remove it",
    ),
    "DOCTYPE with a file": (
        "Posts.xml",
        f'<!DOCTYPE posts [<!ENTITY e SYSTEM "{Path(__file__).as_uri()}">]>{ROW.format("&e;")}'.encode(),
        "DOCTYPE.*remove it",
    ),
    "a pickle": ("a.pkl", pickle.dumps([1]), "if you trust it, run python -c"),
    "joblib": ("a.joblib", b"x", "if you trust it, run python -c"),
    "too many malformed rows": ("a.jsonl", malformed(b"{", b"[]"), "row 31: malformed row.* 2 rows are malformed"),
    "half a character in a title": (
        "a.jsonl",
        malformed(b'{"title": "\\ud800", "tags": "a"}'),
        "row 31: malformed row",
    ),
    "half a character in an id": (
        "a.jsonl",
        malformed(b'{"id": "\\ud800", "title": "x", "tags": "a"}'),
        "row 31: malformed row",
    ),
    "a number for tags": ("a.jsonl", malformed(b'{"title": "x", "tags": 5}'), "row 31: malformed row.* not a list"),
    "a list that does not end": (
        "a.jsonl",
        malformed(b'{"title": "x", "tags": "[a"}'),
        "row 31: malformed row: '.a' looks like part of a list, not a tag; set ingest.tag_separator",
    ),
    "no posts": ("a.csv", b"title,tags\n,\n", "holds no post .1 × no text"),
    "a header alone": ("a.csv", b"title,tags\n", "holds no post .no rows"),
    "no tags": ("a.jsonl", rows([]), "no post has a tag"),
    "none with enough tags": ("a.jsonl", rows(["a"], ["b"]), "no post has 2 of the tags.*lower ingest.min_tags"),
    "too few to split": ("a.jsonl", rows(["a", "b"]).split(b"\n")[0], "not enough posts for"),
}
A = ["a", "b"]
SETTINGS: dict[str, tuple[dict, bytes, str]] = {
    "no such tag": ({"tags": ["a", "bb"]}, rows(A), r"no post has the tag 'bb'; did you mean one of \['b'"),
    "no split named": (
        {"split": "given"},
        rows(A),
        "post posts.jsonl:1 has no split; write train, valid or test into a column 'split', or give files",
    ),
    "another split": (
        {"split": "given"},
        rows(A, A, split=["train", "holdout"]),
        "post posts.jsonl:2 is in the split 'holdout'; write train, valid or test",
    ),
    "a tag for each post": (
        {"tags": 9, "min_tags": 1, "folds": 1},
        "\n".join(f'{{"title": "t{number}", "tags": ["tag{number}"]}}' for number in range(9)).encode(),
        "no valid post has a tag that can be learned; give more posts or set ingest.unseen_tags to count",
    ),
    "tags in test alone": (
        {"tags": ["rare", "b"], "min_tags": 0, "split": "given"},
        rows(["a"], ["a"], ["b", "rare"], split=["train", "valid", "test"]),
        "no train post has a tag that can be learned; use ingest.split: random or raise ingest.min_tags",
    ),
    "no tag in valid": (
        {"tags": 2, "min_tags": 0, "split": "given"},
        rows(A, A, [], A, split=["train", "train", "valid", "test"]),
        "no valid post has a tag that can be learned; use ingest.split: random or raise ingest.min_tags",
    ),
    "nothing to train on": (
        {"split": "given", "max_train": 10},
        rows(A, split=["valid", "test"]),
        "not enough posts for train",
    ),
    "nothing to test on": ({"split": "given"}, rows(A, split=["train"]), "not enough posts for test"),
    "two mistakes": (
        {"tag": 1, "seed": -1},
        rows(A),
        "ingest.seed: .*ingest.tag: no such parameter; did you mean tags",
    ),
    "no such encoding": ({"encoding": "utf-9"}, rows(A), "ingest.encoding: Python has no encoding 'utf-9'"),
    "not the encoding": ({"encoding": "ascii"}, rows(A) + "é".encode(), "not ASCII .*set ingest.encoding to that"),
    "shares of more than all": ({"valid": 0.5, "test": 0.5}, rows(A), "leave no posts to train on"),
}


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("earlier")
    (folder / "posts.jsonl").write_bytes(rows(A))
    assert ingest(folder).returncode == 0
    return folder


def ingest(folder: Path, **changes: object) -> subprocess.CompletedProcess:
    write_params(folder, ingest={"source": "posts.jsonl", "tags": 2} | changes)
    return run_stage(ingest_stage, folder)


def written(folder: Path) -> dict[str, bytes]:
    """What a stage has written; not the parts that it has read, which it leaves for the next time."""
    files = [path for path in (folder / "data").rglob("*") if path.is_file()]
    names = [path.relative_to(folder).as_posix() for path in files]
    return {
        name: path.read_bytes()
        for name, path in zip(names, files, strict=True)
        if not name.startswith("data/unfinished/")
    }


def refused(folder: Path, earlier: Path, **changes: object) -> str:
    """The line that the stage ends with; nothing that it had written before has changed."""
    shutil.copytree(earlier / "data", folder / "data")
    done = ingest(folder, **changes)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stdout.startswith("ingest: read tagged posts") and len(done.stdout.splitlines()) == 1
    assert written(folder) == written(earlier)
    return done.stderr


@pytest.mark.parametrize("what", FILES)
def test_a_file_that_cannot_be_used(tmp_path: Path, earlier: Path, what: str) -> None:
    name, data, says = FILES[what]
    (tmp_path / name).write_bytes(data)
    line = refused(tmp_path, earlier, source=name)
    assert line.startswith(("ingest: no post has a tag", f"ingest: {name}"))
    assert pd.Series(line).str.contains(says).all(), line


@pytest.mark.parametrize("what", SETTINGS)
def test_settings_that_cannot_be_used(tmp_path: Path, earlier: Path, what: str) -> None:
    changes, data, says = SETTINGS[what]
    (tmp_path / "posts.jsonl").write_bytes(data)
    line = refused(tmp_path, earlier, **changes)
    assert pd.Series(line).str.contains(says).all(), line


@pytest.mark.parametrize("name", ["missing.csv", "x" * 300, os.devnull])
def test_a_source_that_is_no_file(tmp_path: Path, earlier: Path, name: str) -> None:
    assert f"{name}: " in refused(tmp_path, earlier, source=name)


def test_a_folder_without_posts(tmp_path: Path, earlier: Path) -> None:
    (tmp_path / "dump").mkdir()
    (tmp_path / "dump/Users.xml").write_text("<users/>")
    assert "dump: no posts in this folder" in refused(tmp_path, earlier, source="dump")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path, earlier: Path) -> None:
    (tmp_path / "a.csv").write_bytes(MANY)
    (tmp_path / "a.csv").chmod(0)
    assert "Permission denied" in refused(tmp_path, earlier, source="a.csv")


@pytest.mark.parametrize("name", ["../outside.csv", "/tmp/outside.csv"])
@pytest.mark.parametrize("suffix", [".zip", ".7z"])
def test_a_path_that_leaves_its_archive_writes_nothing_outside(
    tmp_path: Path, earlier: Path, name: str, suffix: str
) -> None:
    """In a zip nothing is ever unpacked to a file, and the posts are read; of 7z the archive is refused."""
    folder = tmp_path / "in"
    folder.mkdir()
    name = name.replace("/tmp", str(tmp_path))
    if suffix == ".zip":
        with zipfile.ZipFile(folder / "a.zip", "w") as archive:
            archive.writestr(name, "title,tags\n" + "".join(f"Post {number},a b\n" for number in range(30)))
        assert ingest(folder, source="a.zip").returncode == 0
    else:
        with py7zr.SevenZipFile(folder / "a.7z", "w") as archive:
            archive._writestr(MANY, name)  # without the check that py7zr makes
        refused(folder, earlier, source="a.7z")
    assert not list(tmp_path.glob("outside*"))


def test_a_pickle_becomes_parquet_by_the_command_that_the_line_gives(tmp_path: Path, earlier: Path) -> None:
    import joblib

    name = "the $HOME of 'posts'.joblib"
    posts = pd.DataFrame({"title": [f"Post {number}" for number in range(30)], "tags": [["a", "b"]] * 30})
    joblib.dump(posts, tmp_path / name)
    line = refused(tmp_path, earlier, source=name)
    command = line.strip().partition("run python ")[2]
    done = call("sh", "-c", f"'{sys.executable}' {command}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert ingest(tmp_path, source=name.replace("joblib", "parquet")).returncode == 0
