"""posts.py: every format gives the same posts, and what cannot be read is told in one line that names the file."""

import csv
import gzip
import io
import json
import warnings
import zipfile
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

import py7zr
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from posts import Post, Skipped, parse_tags, read_posts
from stage import BadInput

POSTS = [
    Post("7", "Sort a list, in C#?\nI have a list, see x < y", ["c#", "sorting"]),
    Post("8", "Größe of a file\nhow?", ["c++"]),
    Post("9", 'It says "no", why', [".net", "node.js", "c#"]),
]
TITLES = [post.text.split("\n")[0] for post in POSTS]
BODIES = ["<p>I have a <b>list</b>, see <code>x &lt; y</code></p>", "<p>how?</p>\n", ""]


def dump(questions: bool = True) -> bytes:
    rows = "".join(
        f'  <row Id="{post.id}" PostTypeId="1" Title="{escape(title)}" Body="{escape(body)}" '
        f'Tags="{escape("".join(f"<{tag}>" for tag in post.tags))}" />\n'
        f'  <row Id="{post.id}0" PostTypeId="2" Body="An answer" />\n  <row Id="{post.id}1" PostTypeId="5" Body="" />\n'
        for post, title, body in zip(POSTS, TITLES, BODIES, strict=True)
    )
    return f'\ufeff<?xml version="1.0" encoding="utf-8"?>\n<posts>\n{rows}</posts>\n'.encode()


def table(delimiter: str = ",", end: str = "\n", spell: Callable[[list[str]], str] = " ".join) -> bytes:
    text = io.StringIO()
    rows = csv.writer(text, delimiter=delimiter, lineterminator=end)
    rows.writerow(["Id", "Title", "Body", "Tags"])
    rows.writerows(
        [post.id, title, body, spell(post.tags)] for post, title, body in zip(POSTS, TITLES, BODIES, strict=True)
    )
    return text.getvalue().encode()


def parquet(columns: dict[str, Any] | None = None, spell: Callable[[list[str]], Any] = list) -> bytes:
    default = {"id": [7, 8, 9], "title": TITLES, "body": BODIES, "tags": [spell(post.tags) for post in POSTS]}
    stream = io.BytesIO()
    pq.write_table(pa.table(columns or default), stream)
    return stream.getvalue()


def json_lines() -> bytes:
    rows = zip(POSTS, TITLES, BODIES, strict=True)
    return b"\n".join(
        json.dumps({"id": int(post.id), "title": title, "body": body, "tags": post.tags}).encode()
        for post, title, body in rows
    )


def fasttext() -> bytes:
    lines = (" ".join([*(f"__label__{tag}" for tag in post.tags), post.text.replace("\n", " ")]) for post in POSTS)
    return "\n".join(lines).encode()


def zipped(method: int = zipfile.ZIP_DEFLATED, **members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "."), data)
    return stream.getvalue()


def seven_zipped(password: str | None = None, **members: bytes) -> bytes:
    stream = io.BytesIO()
    with py7zr.SevenZipFile(stream, "w", password=password) as archive:
        for name, data in members.items():
            archive.writestr(data, name.replace("__", "."))
    return stream.getvalue()


def read(path: Path, data: bytes | str) -> tuple[list[Post], list[Skipped]]:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    rows = list(read_posts(path))
    return [row for row in rows if isinstance(row, Post)], [row for row in rows if isinstance(row, Skipped)]


# --------------------------------------------------------------------------- formats

FORMATS = {
    "Posts.xml": dump(),
    "Posts.xml.gz": gzip.compress(dump()),
    "Posts.xml.zip": zipped(Posts__xml=dump(), Users__xml=b"<users/>"),
    "site.7z": seven_zipped(Posts__xml=dump(), Users__xml=b"<users/>", PostLinks__xml=b"<postlinks/>"),
    "a.csv": table(),
    "b.CSV": b"\xef\xbb\xbf" + table(end="\r\n"),
    "a.csv.gz": gzip.compress(table(spell=",".join)),
    "csv.zip": zipped(a__csv=table(spell=str), readme__md=b"none"),
    "a.tsv": table("\t", spell=json.dumps),
    "a.tsv.gz": gzip.compress(table("\t")),
    "a.tsv.zip": zipped(a__tsv=table("\t", spell=lambda tags: f"|{'|'.join(tags)}|")),
    "tsv.7z": seven_zipped(a__tsv=table("\t")),
    "list.parquet": parquet(),
    "text.parquet": parquet(spell=" ".join),
    "a.parquet.gz": gzip.compress(parquet()),
    "a.jsonl": json_lines(),
    "a.ndjson": b"\xef\xbb\xbf" + json_lines().replace(b"\n", b"\r\n\r\n"),
    "a.jsonl.gz": gzip.compress(json_lines()),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_posts(tmp_path: Path, name: str) -> None:
    posts, skipped = read(tmp_path / name, FORMATS[name])
    assert posts == POSTS
    from_dump = b"<posts>" in FORMATS[name] or name.startswith(("Posts", "site"))
    assert [row.reason for row in skipped] == ["answer", "neither question nor answer"] * 3 * from_dump


def test_fasttext_lines_give_texts_and_tags(tmp_path: Path) -> None:
    posts, skipped = read(tmp_path / "a.txt", fasttext() + b"\n\nno label here\n")
    assert [(post.text, post.tags) for post in posts] == [(post.text.replace("\n", " "), post.tags) for post in POSTS]
    assert [row.reason for row in skipped] == ["broken row"]


@pytest.mark.parametrize(
    ("header", "text"),
    [
        ("tags,title,body", "A\nx<y"),
        ("TAGS,Title,BODY", "A\nx<y"),
        ("Tags, title ,Content", "A\nx<y"),
        ("tags,TITLE,text", "A\nx<y"),
        ("tags,title,cleaned_text", "A\n<p>x&lt;y</p>"),
        ("tags,topic,body", "x<y"),
        ("tags,title,score", "A"),
    ],
)
def test_columns_go_by_their_usual_names_in_any_case(tmp_path: Path, header: str, text: str) -> None:
    posts, _ = read(tmp_path / "a.csv", f"{header}\na b,A,<p>x&lt;y</p>\n")
    assert posts == [Post("a.csv:2", text, ["a", "b"])]


def test_a_title_is_plain_text_but_for_entities(tmp_path: Path) -> None:
    posts, _ = read(tmp_path / "a.csv", "title,tags\nReplace &quot; and <br/> in vector<int>,a\n")
    assert posts[0].text == 'Replace " and <br/> in vector<int>'


def test_a_row_without_text_is_skipped(tmp_path: Path) -> None:
    posts, skipped = read(tmp_path / "a.csv", "title,body,tags\n , <p></p>,a\nx,,a\n")
    assert [post.text for post in posts] == ["x"]
    assert [row.reason for row in skipped] == ["no text"]


@pytest.mark.parametrize(
    ("name", "split"),
    [("Train.csv", "train"), ("dev.csv", "valid"), ("test-00000-of-00001.csv", "test"), ("posts.csv", None)],
)
def test_the_split_is_in_the_column_or_else_in_the_name(tmp_path: Path, name: str, split: str | None) -> None:
    posts, _ = read(tmp_path / name, "title,tags,split\nx,a,\ny,a,Validation\nz,a,other\n")
    assert [post.split for post in posts] == [split, "valid", "other"]


# --------------------------------------------------------------------------- tags

SPELLINGS: dict[str, Callable[[list[str]], Any]] = {
    "a list": list,
    "<a><b>": lambda tags: "".join(f"<{tag}>" for tag in tags),
    "|a|b|": lambda tags: f"|{'|'.join(tags)}|",
    "a Python list": str,
    "a JSON list": json.dumps,
    "a numpy array in a CSV": lambda tags: f"[{' '.join(map(repr, tags))}]",
    "a, b": ", ".join,
    "a,b": ",".join,
    "a b": " ".join,
}
TAG = st.text(st.characters(categories=["Ll", "Lu", "Nd"], include_characters="#+.-"), min_size=1, max_size=12)


@pytest.mark.parametrize("spelling", SPELLINGS)
@given(tags=st.lists(TAG, unique=True, max_size=6))
@example(tags=["c#", "c++", ".net", "asp.net-mvc-3"])
@example(tags=[])
def test_tags_survive_every_spelling(spelling: str, tags: list[str]) -> None:
    assert parse_tags(SPELLINGS[spelling](tags)) == tags


@pytest.mark.parametrize("value", ["[a, b", "['a'", "[a]", "[" * 9_000, "[" + "-" * 9_000 + "1]", "[" * 20_000])
def test_a_list_that_does_not_parse_is_an_error(value: str) -> None:
    with pytest.raises(ValueError, match="list"), warnings.catch_warnings():
        warnings.simplefilter("error")
        parse_tags(value)


def test_a_tag_named_twice_counts_once() -> None:
    assert parse_tags("b a  b") == ["b", "a"]


@pytest.mark.parametrize("tags", ['[null, "a"]', "[None, 'a']", [None, "a"]])
def test_a_missing_value_is_no_tag(tags: Any) -> None:
    assert "None" not in parse_tags(tags)


# --------------------------------------------------------------------------- folders and rows


def test_a_folder_is_the_union_of_its_files(tmp_path: Path) -> None:
    for name in ("a.csv", "b.jsonl", "Posts.xml.gz"):
        (tmp_path / name).write_bytes(FORMATS[name] if name in FORMATS else json_lines())
    (tmp_path / "site.example.com.7z").write_bytes(FORMATS["site.7z"])
    names = ("Posts.xml.gz", "a.csv", "b.jsonl", "site.example.com.7z")
    union = [row for name in names for row in read_posts(tmp_path / name)]
    for other in (
        "readme.txt",
        "Users.xml",
        "Tags.xml.gz",
        "Users.xml.7z",
        "README.md",
        ".hidden.csv",
        "__MACOSX.csv",
        "notes",
    ):
        (tmp_path / other).write_bytes(b"not posts")
    (tmp_path / "folder.csv").mkdir()
    assert list(read_posts(tmp_path)) == union
    assert sum(isinstance(row, Post) for row in union) == len(names) * len(POSTS)


def test_a_header_repeated_in_the_middle_is_skipped(tmp_path: Path) -> None:
    posts, skipped = read(tmp_path / "a.tsv", "title\ttags\r\nx\ta\ntitle\ttags\ny\tb\r\n")
    assert [post.text for post in posts] == ["x", "y"]
    assert [(row.reason, "row 3" in row.place) for row in skipped] == [("repeated header", True)]


GOOD = {
    "a.csv": ["title,tags", "x,a"],
    "a.jsonl": ['{"title": "x", "tags": "a"}'] * 2,
    "a.txt": ["__label__a x"] * 2,
}


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("a.csv", "y,a,more"),
        ("a.csv", "y"),
        ("a.csv", '"y" z,a'),
        ("a.csv", "y,['a'"),
        ("a.jsonl", '{"title": "y", "tags": '),
        ("a.jsonl", "[1, 2]"),
        ("a.jsonl", "[" * 100_000),
        ("a.jsonl", '{"title": "y", "tags": 5}'),
        ("a.jsonl", '{"title": "y"}'),
        ("a.jsonl", '{"title": "\\ud800", "tags": "a"}'),
        ("a.txt", "no label"),
    ],
)
def test_a_broken_row_among_good_ones_is_skipped_with_its_place(tmp_path: Path, name: str, bad: str) -> None:
    good = GOOD[name]
    posts, skipped = read(tmp_path / name, "\n".join([*good, bad, good[-1]]))
    assert [post.text for post in posts] == ["x"] * (3 - (name == "a.csv"))
    assert [row.reason for row in skipped] == ["broken row"]
    assert skipped[0].place.startswith(f"{tmp_path / name}, row 3: ")
    assert "\n" not in skipped[0].place


def test_a_quote_never_closed_is_told_rather_than_all_rows_behind_it_lost(tmp_path: Path) -> None:
    rows = "".join(f"title {number},a\n" for number in range(1000))
    with pytest.raises(BadInput, match="1002"):
        read(tmp_path / "a.csv", f'title,tags\n{rows}"oops,a\n{rows}')


# --------------------------------------------------------------------------- errors

MANY = b"title,tags\n" + b"".join(b"title %d,a\n" % number for number in range(20_000))
ROW = '<posts><row PostTypeId="1" Title="x" Tags="a" Body="{}"/></posts>'
LAUGHS = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))


def damaged(data: bytes, start: int = 2000) -> bytes:
    return data[:start] + bytes(byte ^ 0x5A for byte in data[start : start + 200]) + data[start + 200 :]


def marked(data: bytes, offset: int, value: int) -> bytes:
    """A zip archive whose only member is marked as encrypted, or as packed by another method, in both headers."""
    changed = bytearray(data)
    changed[6 + offset] = changed[data.index(b"PK\x01\x02") + 8 + offset] = value
    return bytes(changed)


ERRORS: dict[str, tuple[str, bytes, str]] = {
    "empty": ("a.csv", b"", "empty"),
    "unknown ending": ("a.docx", b"x", "'.docx'"),
    "no tags column": ("a.csv", b"id,title,labels\n", "'tags'.*'id', 'title', 'labels'"),
    "no tags column in Parquet": ("a.parquet", parquet({"title": ["x"]}), "'tags'.*'title'"),
    "no text column": ("a.tsv", b"id\ttags\n", "'title'.*'id', 'tags'"),
    "header with a quote never closed": ("a.csv", b'"title,tags\nx,a\n', ""),
    "not UTF-8": ("a.csv", b"title,tags\nna\xefve,a\n", "UTF-8"),
    "not UTF-8 in JSON": ("a.jsonl", b'{"title": "\xff", "tags": "a"}', "UTF-8"),
    "not UTF-8 in XML": ("Posts.xml", b'<posts><row PostTypeId="1" Title="\xff"/></posts>', "encoding"),
    "truncated .gz": ("a.csv.gz", gzip.compress(MANY)[:-3000], "ended before"),
    "truncated .gz of XML": ("Posts.xml.gz", gzip.compress(dump())[:-20], "ended before"),
    "damaged .gz": ("a.csv.gz", damaged(gzip.compress(MANY)), ""),
    "not gzip": ("a.csv.gz", b"title,tags\n", "gzip"),
    "not a zip": ("a.zip", b"title,tags\n", "not a zip"),
    "several in a zip": ("a.zip", zipped(a__csv=b"x", b__csv=b"x"), r"several.*a\.csv, b\.csv"),
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
    "not Parquet": ("a.parquet", b"title,tags\n", "Parquet"),
    "cut Parquet": ("a.parquet", parquet()[:-10], "Parquet"),
    "damaged Parquet": ("a.parquet", damaged(parquet(), 20), ""),
    "XML cut off": ("Posts.xml", dump()[:-30], "broken XML"),
    "not XML": ("Posts.xml", b"title,tags\n", "broken XML"),
    "no row": ("Posts.xml", b"<posts></posts>", "<row>"),
    "another table of a dump": ("Users.xml", b'<users><row Id="1" Name="x"/></users>', "PostTypeId"),
    "a row for a root": ("Posts.xml", b'<!-- x --><row Id="1" Name="x"/>', "PostTypeId"),
    "an attribute too long": ("Posts.xml", ROW.format("x" * 11_000_000).encode(), "broken XML"),
    "DOCTYPE with entities": (
        "Posts.xml",
        f'<!DOCTYPE posts [<!ENTITY a0 "ha">{LAUGHS}]>{ROW.format("&a9;")}'.encode(),
        "DOCTYPE|broken XML",
    ),
}


@pytest.mark.parametrize("what", ERRORS)
def test_what_cannot_be_read_is_told_in_one_line(tmp_path: Path, what: str) -> None:
    name, data, message = ERRORS[what]
    with pytest.raises(BadInput, match=f"(?s){message}") as error:
        read(tmp_path / name, data)
    assert str(error.value).startswith(str(tmp_path / name))
    assert "\n" not in str(error.value)


def test_a_comment_before_a_lone_row_is_read(tmp_path: Path) -> None:
    posts, _ = read(tmp_path / "Posts.xml", '<!-- x --><row Id="1" PostTypeId="1" Title="x" Tags="a"/>')
    assert posts == [Post("1", "x", ["a"])]


def test_an_external_entity_is_never_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    doctype = f'<!DOCTYPE posts [<!ENTITY e SYSTEM "{(tmp_path / "secret").as_uri()}">]>'
    with pytest.raises(BadInput, match="DOCTYPE") as error:
        read(tmp_path / "Posts.xml", doctype + '<posts><row PostTypeId="1" Title="x" Tags="a">&e;</row></posts>')
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["missing.csv", "x" * 300])
def test_a_missing_source_is_told_in_one_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match=name):
        list(read_posts(tmp_path / name))


def test_a_folder_without_posts_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "Users.xml").write_text("<users/>")
    with pytest.raises(BadInput, match="no posts in this folder"):
        list(read_posts(tmp_path))
