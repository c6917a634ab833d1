"""Readers: every format gives the same posts, and what cannot be read is one line that names the file."""

import csv
import gzip
import io
import json
import re
from collections.abc import Callable
from functools import partial
from html import escape
from pathlib import Path
from typing import Any
from unicodedata import normalize
from xml.sax.saxutils import quoteattr

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import seven_zipped, zipped
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tagstudy.core.errors import UserError
from tagstudy.data.fields import Post
from tagstudy.data.readers import Skipped, read_posts
from tagstudy.data.tables import NULLS
from tagstudy.data.tags import MISSING, ZERO_OR_ONE

POSTS = [
    Post("7", "Sort a list, in C#?", "I have a list, see x < y", ["c#", "sorting"]),
    Post("8", "Größe of a file", "how?", ["c++"]),
    Post("9", 'It says "no", why', "", [".net", "node.js", "c#"]),
]
TITLES = [post.title for post in POSTS]
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
    lines = (" ".join([*(f"__label__{tag}" for tag in post.tags), post.title, post.body]).strip() for post in POSTS)
    return "\n".join(lines).encode()


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
    "a.json": b"[" + json_lines().replace(b"\n", b",\n") + b"]",
    "lines.json": json_lines(),
    "wrapped.json": b'{"total": 3, "items": [' + json_lines().replace(b"\n", b", ") + b'], "more": {"x": [1]}}',
    "deep.json.gz": gzip.compress(b'{"data": {"posts": [' + json_lines().replace(b"\n", b",") + b"]}}"),
    "utf16.json": b"\xff\xfe" + ("[" + json_lines().decode().replace("\n", ",") + "]").encode("utf-16-le"),
    "utf16.tsv": table("\t").decode().encode("utf-16"),
    "utf16be.csv": table().decode().encode("utf-16-be"),
    "latin1.csv": table().decode().encode("latin-1"),
    "backslash.csv": table().replace(b'""', b'\\"'),
    "head.Posts.xml": dump()[: dump().rindex(b'<row Id="91"') + 30],
    "grep.Posts.xml": b"\n".join(re.findall(rb"<row.*?/>", dump(), re.DOTALL)),
    "a.jsonl.gz": gzip.compress(json_lines()),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_posts(tmp_path: Path, name: str) -> None:
    posts, skipped = read(tmp_path / name, FORMATS[name])
    assert posts == POSTS
    from_dump = name.endswith("Posts.xml") or name.startswith(("Posts", "site"))
    reasons = ["answer", "neither question nor answer"] * 3 * from_dump
    assert [row.reason for row in skipped] == reasons[: -1 if name.startswith("head") else None]


def test_fasttext_lines_give_texts_and_tags(tmp_path: Path) -> None:
    posts, skipped = read(tmp_path / "a.txt", fasttext() + b"\n\nno label here\n")
    assert posts == [
        Post(f"a.txt:{number}", "", f"{post.title} {post.body}".strip(), post.tags)
        for number, post in enumerate(POSTS, start=1)
    ]
    assert [row.reason for row in skipped] == ["malformed row"]


@pytest.mark.parametrize(
    ("header", "title", "body"),
    [
        ("tags,title,body", "A", "x<y"),
        ("TAGS,Title,BODY", "A", "x<y"),
        ("Tags, title ,Content", "A", "x<y"),
        ("tags,TITLE,text", "A", "x<y"),
        ("tags,title,cleaned_text", "A", "<p>x&lt;y</p>"),
        ("tags,topic,cleaned_text", "", "<p>x&lt;y</p>"),
        ("tags,topic,body", "", "x<y"),
        ("tags,title,score", "A", ""),
    ],
)
def test_columns_go_by_their_usual_names_in_any_case(tmp_path: Path, header: str, title: str, body: str) -> None:
    posts, _ = read(tmp_path / "a.csv", f"{header}\na b,A,<p>x&lt;y</p>\n")
    assert posts == [Post("a.csv:2", title, body, ["a", "b"])]


def test_a_title_is_plain_text_but_for_entities(tmp_path: Path) -> None:
    posts, _ = read(tmp_path / "a.csv", "title,tags\nReplace &quot; and <br/> in vector<int>,a\n")
    assert posts == [Post("a.csv:2", 'Replace " and <br/> in vector<int>', "", ["a"])]


def test_a_title_is_one_line(tmp_path: Path) -> None:
    posts, _ = read(tmp_path / "a.csv", 'title,body,tags\n"Sort\na list","<p>I have</p>",a\n')
    assert posts == [Post("a.csv:2", "Sort a list", "I have", ["a"])]
    assert str(posts[0].text) == "Sort a list\nI have"


def test_a_row_without_text_is_skipped(tmp_path: Path) -> None:
    posts, skipped = read(tmp_path / "a.csv", "title,body,tags\n , <p></p>,a\nx,,a\n")
    assert [post.title for post in posts] == ["x"]
    assert [row.reason for row in skipped] == ["no text"]


@pytest.mark.parametrize(
    ("name", "split"),
    [("Train.csv", "train"), ("dev.csv", "valid"), ("test-00000-of-00001.csv", "test"), ("posts.csv", None)],
)
def test_the_split_is_in_the_column_or_else_in_the_name(tmp_path: Path, name: str, split: str | None) -> None:
    posts, _ = read(tmp_path / name, "title,tags,split\nx,a,\ny,a,Validation\nz,a,other\n")
    assert [post.split for post in posts] == [split, "valid", "other"]


# What every format can hold: XML knows no control characters, and files no lone surrogates.
TAG = st.text(st.characters(categories=["Ll", "Lu", "Nd"], include_characters="#+.-"), min_size=1, max_size=12)
TAG = TAG.map(partial(normalize, "NFC"))
TAG = TAG.filter(lambda tag: tag not in MISSING | NULLS and tag.lower() not in ZERO_OR_ONE)
TEXT = st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff"), max_size=40)
TEXT = TEXT.filter(lambda text: text.strip() not in NULLS)


def as_dump(rows: list[dict[str, Any]]) -> bytes:
    made = "".join(
        f"<row Id={quoteattr(row['id'])} PostTypeId='1' Title={quoteattr(row['title'])} "
        f"Body={quoteattr(escape(row['body']))} Tags={quoteattr(json.dumps(row['tags']))} />"
        for row in rows
    )
    return f"<posts>{made}</posts>".encode()


def as_csv(rows: list[dict[str, Any]], delimiter: str = ",") -> bytes:
    file = io.StringIO()
    writer = csv.writer(file, delimiter=delimiter)
    writer.writerow(["id", "title", "body", "tags"])
    writer.writerows([row["id"], escape(row["title"]), escape(row["body"]), json.dumps(row["tags"])] for row in rows)
    return file.getvalue().encode()


def as_parquet(rows: list[dict[str, Any]]) -> bytes:
    text = {name: [escape(row[name]) for row in rows] for name in ("title", "body")}
    return parquet({"id": [row["id"] for row in rows], **text, "tags": [row["tags"] for row in rows]})


def as_json_lines(rows: list[dict[str, Any]]) -> bytes:
    return b"\n".join(
        json.dumps(row | {name: escape(row[name]) for name in ("title", "body")}).encode() for row in rows
    )


WRITERS = {
    "Posts.xml": as_dump,
    "a.csv": as_csv,
    "a.tsv": lambda rows: as_csv(rows, "\t"),
    "a.parquet": as_parquet,
    "a.jsonl": as_json_lines,
}


@pytest.mark.parametrize("name", WRITERS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.fixed_dictionaries({"id": TAG, "title": TEXT, "body": TEXT, "tags": st.lists(TAG, min_size=1, unique=True)}),
        min_size=1,
        max_size=5,
    )
)
def test_any_post_comes_back_from_every_format(tmp_path: Path, name: str, rows: list[dict[str, Any]]) -> None:
    posts, skipped = read(tmp_path / name, WRITERS[name](rows))
    written = [Post(row["id"], row["title"].strip(), row["body"].strip(), row["tags"]) for row in rows]
    assert posts == [post for post in written if post.title or post.body]
    assert [row.reason for row in skipped] == ["no text"] * (len(rows) - len(posts))


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
    assert [post.title for post in posts] == ["x", "y"]
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
def test_a_malformed_row_among_good_ones_is_skipped_with_its_place(tmp_path: Path, name: str, bad: str) -> None:
    good = GOOD[name]
    posts, skipped = read(tmp_path / name, "\n".join([*good, bad, good[-1]]))
    assert [str(post.text) for post in posts] == ["x"] * (3 - (name == "a.csv"))
    assert [row.reason for row in skipped] == ["malformed row"]
    assert skipped[0].place.startswith(f"{tmp_path / name}, row 3: ")
    assert "\n" not in skipped[0].place


def test_a_quote_never_closed_is_an_error_rather_than_the_loss_of_all_rows_after_it(tmp_path: Path) -> None:
    rows = "".join(f"title {number},a\n" for number in range(1000))
    with pytest.raises(UserError, match="1002"):
        read(tmp_path / "a.csv", f'title,tags\n{rows}"oops,a\n{rows}')


def test_a_comment_before_a_lone_row_is_read(tmp_path: Path) -> None:
    posts, _ = read(tmp_path / "Posts.xml", '<!-- x --><row Id="1" PostTypeId="1" Title="x" Tags="a"/>')
    assert posts == [Post("1", "x", "", ["a"])]
