"""Files as databases, trackers, spreadsheets and notebooks export them."""

import json
from pathlib import Path

import pytest

from tagstudy.core.errors import UserError
from tagstudy.data import json_files
from tagstudy.data.files import File, ReadOptions, described, distinct
from tagstudy.data.readers import Post, Skipped, read_posts

LABELS = [
    {"id": 1, "name": "bug", "description": "it stops"},
    {"id": 2, "name": "[Type] Help", "description": "please"},
]
ISSUE = {"title": "Fade?", "body": "A div", "labels": LABELS}
LINES = "a, b\n" * 8 + "c"
QUESTION = {"title": "Sort", "tags": ["a"], "answers": [{"body": "Use sort()"}]}


def table(header: str, row: str, rows: int = 12) -> str:
    return "\n".join([header, *(row.replace("#", str(number)) for number in range(rows))]) + "\n"


def read(path: Path, data: str, **options: object) -> tuple[list[Post], list[Skipped], str]:
    """The posts, what was skipped, and the line about the file."""
    path.write_text(data, encoding="utf-8")
    files: list[File] = []
    rows = list(read_posts(path, options=ReadOptions(**options), files=files))  # type: ignore[arg-type]
    posts = [row for row in rows if isinstance(row, Post)]
    return posts, [row for row in rows if isinstance(row, Skipped)], described(distinct(files)[0])


FILES: dict[str, tuple[str, str, tuple[str, str, list[str]], str]] = {  # name, data, the first post, what the line says
    "NULL of a database": ("a.csv", table("title,body,tags", "x,NULL,sql|tsql"), ("x", "", ["sql", "tsql"]), "NULL"),
    "NULL behind a space": ("a.csv", table("title, tags, body", "x, NULL, y z"), ("x", "y z", []), "cells of NULL"),
    "Jira, column told": ("a.csv", table("title,Labels,Labels", "x,bug,ui"), ("x", "", ["bug", "ui"]), "Labels (2)"),
    "flags in one of several": ("a.csv", table("title,tags,tags", "x,bug,1"), ("x", "", ["bug", "1"]), "tags (2)"),
    "flags beside tags": ("a.csv", table("title,tag1,tag2,open,new", "x,a,b,1,0"), ("x", "", ["a", "b"]), "tag2"),
    "slashes and commas": ("a.csv", table("title,tags", 'x,"CI / CD, new"'), ("x", "", ["CI / CD", "new"]), "a,b"),
    "lines and commas": ("a.csv", table("title,tags", '"x","a,\nb"'), ("x", "", ["a", "b"]), "written as a,b"),
    "lines and spaces": ("a.csv", table("title,tags", "x,a b", 99) + '"y","a b\nc d"\n', ("x", "", ["a", "b"]), "a b"),
    "long cells behind spaces": ("a.csv", table("title, body, tags", f'"x", "{LINES}", "c"'), ("x", LINES, ["c"]), ""),
    "backslashes behind spaces": (
        "a.csv",
        table("title, body, tags", r'"x", "say \"hi\" to, all", "c d"'),
        ("x", 'say "hi" to, all', ["c", "d"]),
        "backslashes",
    ),
    "NULL as tags": ("a.tsv", "title\ttags\nx\t\\N\ny\ta\n", ("x", "", []), r"cells of \N are empty"),
    "Jira": ("a.csv", table("title,Labels,Labels", "x,bug,to do"), ("x", "", ["bug", "to do"]), "Labels, Labels (2)"),
    "pandas, a column twice": ("a.csv", table("title,tags,tags.1", "x,bug,ui"), ("x", "", ["bug", "ui"]), "tags.1"),
    "numbered columns": ("a.csv", table("title,tag1,tag2", "x,to do,"), ("x", "", ["to do"]), "tags from tag1, tag2"),
    "columns of yes and no": ("a.csv", "text,bug,ui\nx,yes,no\ny,no,no\n", ("", "x", ["bug"]), "columns of 0 and 1"),
    "spaces behind commas": ("a.csv", table("title, tags", '"x", "a b"'), ("x", "", ["a", "b"]), "written as a b"),
    "spaces before flags": ("a.csv", "text, bug, ui\nx, 1, 0\ny, 0, 0\n", ("", "x", ["bug"]), "columns of 0 and 1"),
    "tags in lines": ("a.csv", table("title,tags", '"x","to do\nbug"'), ("x", "", ["to do", "bug"]), "tag per line"),
    "a path of categories": ("a.csv", table("title,tags", "x,Home > Old Tools"), ("x", "", ["Home", "Old Tools"]), ">"),
    "commas of Chinese": ("a.csv", table("title,tags", "x,机器、深度"), ("x", "", ["机器", "深度"]), "a、b"),
    "commas of Arabic": ("a.csv", table("title,tags", "x,بايثون، تعلم"), ("x", "", ["بايثون", "تعلم"]), "،"),
    "a list of Athena": ("a.csv", table("title,tags", 'x,"[c++, to do]"'), ("x", "", ["c++", "to do"]), "lists"),
    "numbers of classes": ("a.jsonl", '{"title": "x", "tags": 2}\n{"title": "y", "tags": 1}\n', ("x", "", ["2"]), ""),
    "an issue of GitHub": ("a.json", json.dumps(ISSUE, indent=1), ("Fade?", "A div", ["bug", "[Type] Help"]), ""),
    "an issue in a line": ("a.json", json.dumps(ISSUE), ("Fade?", "A div", ["bug", "[Type] Help"]), ""),
    "a question with answers": ("a.json", json.dumps(QUESTION, indent=1), ("Sort", "", ["a"]), ""),
    "a title around posts": ("a.json", json.dumps({"title": "Blog", "items": [QUESTION]}), ("Sort", "", ["a"]), ""),
    "a wrapper with tags": (
        "a.json",
        json.dumps({"title": "x", "tags": ["x"], "posts": [QUESTION]}),
        ("Sort", "", ["a"]),
        "",
    ),
    "a wrapper in a wrapper": (
        "a.json",
        json.dumps({"title": "x", "data": {"items": [QUESTION]}}),
        ("Sort", "", ["a"]),
        "",
    ),
    "a list that begins the line": ("a.json", '{"posts": [\n{"title": "x", "tags": ["a"]}\n]}', ("x", "", ["a"]), ""),
}  # fmt: skip


@pytest.mark.parametrize("kind", FILES)
def test_an_export_is_read(tmp_path: Path, kind: str) -> None:
    name, data, expected, says = FILES[kind]
    columns = {"tags": "Labels"} if kind == "Jira, column told" else {}
    [first, *_], skipped, line = read(tmp_path / name, data, columns=columns)
    assert (first.title, first.body, first.tags) == expected
    assert not skipped and says in line


def test_a_number_among_names_is_no_tag(tmp_path: Path) -> None:
    _, [skipped], _ = read(tmp_path / "a.jsonl", '{"title": "x", "tags": "a"}\n{"title": "y", "tags": 5}\n')
    assert "not a list: 5" in skipped.place


@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
@pytest.mark.parametrize("closing", ['x "y"', 'x 19"', '"x\ny"'])
def test_rows_behind_a_quote_that_is_not_closed_are_counted(tmp_path: Path, name: str, closing: str) -> None:
    """csv takes all of them for one cell, up to the next quote."""
    rows = [[str(number), f"Post {number}", "a b"] for number in range(1000)]
    rows[100][1], rows[900][1] = '"Post 100', closing
    delimiter = "\t" if name == "a.tsv" else ","
    data = "\n".join(map(delimiter.join, [["id", "title", "tags"], *rows])) + "\n"
    posts, skipped, _ = read(tmp_path / name, data)
    if name == "a.tsv":  # where quotes are characters like others
        assert len(posts) >= 999 and posts[100].title == '"Post 100'
        return
    assert len(posts) + len(skipped) >= 998 and len(posts) < 210
    assert "a quote in line 102 is not closed" in skipped[0].place


@pytest.mark.parametrize("other", ["", '4\t"Why?"\tbody four\tc\n'])
def test_text_without_quoting(tmp_path: Path, other: str) -> None:
    data = 'id\ttitle\tbody\ttags\n2\t"Quote me\tbody two\tjava\n3\tend quote"\tbody three\tsql\n'
    posts, skipped, line = read(tmp_path / "a.tsv", data + other)
    assert [post.title for post in posts][:2] == ['"Quote me', 'end quote"'] and posts[0].tags == ["java"]
    assert not skipped and "quotes are part of the text" in line
    data = 'title\tbody\ttags\n"say ""hi"""\t"one\ntwo"\ta\nx\ty\t"b\nc"\n'
    posts, skipped, line = read(tmp_path / "a.tsv", data)
    assert [post.body for post in posts] == ["one\ntwo", "y"] and not skipped and "quotes" not in line


@pytest.mark.parametrize(
    ("name", "body"),
    [("a.csv", "As a table:\n" + "1,2,3\n" * 30 + "Any idea?"), ("a.tsv", "Code:\n" + "\tx\t= 1\n" * 30 + "Any idea?")],
)
def test_a_long_cell_is_no_quote_that_is_not_closed(tmp_path: Path, name: str, body: str) -> None:
    rows = [["title", "body", "tags"], ["x", f'"{body}"', "a"]]
    delimiter = "\t" if name == "a.tsv" else ","
    posts, skipped, _ = read(tmp_path / name, "\n".join(map(delimiter.join, rows)) + "\n")
    assert [post.body for post in posts] == [body] and not skipped


def test_a_header_that_comes_again_may_have_a_mark(tmp_path: Path) -> None:
    posts, [skipped], _ = read(tmp_path / "a.csv", "\ufefftitle,tags\nx,a\n\ufefftitle,tags\ny,b\n")
    assert [post.title for post in posts] == ["x", "y"] and skipped.reason == "repeated header"


def test_marks_that_few_cells_hold_are_malformed(tmp_path: Path) -> None:
    for row, other in (('x,"a, b"', 'y,"c\nd"'), ("x,a b", "y,c > d")):
        posts, [skipped], _ = read(tmp_path / "a.csv", table("title,tags", row, 90) + other + "\n")
        assert len(posts) == 90 and "in other rows" in skipped.place


def test_numbered_columns_beside_a_told_one_are_its_user_s(tmp_path: Path) -> None:
    [first, *_], _, _ = read(tmp_path / "a.csv", "title,drupal,drupal.7\nx,1,1\ny,0,1\n", columns={"tags": ["drupal"]})
    assert first.tags == ["drupal"]


@pytest.mark.parametrize("cell", ["[0 1 0 0]", "[3 17]", "[0. 1. 0.]", "[a][b]"])
def test_what_is_no_list_of_names_is_malformed(tmp_path: Path, cell: str) -> None:
    posts, skipped, _ = read(tmp_path / "a.csv", table("title,tags", 'x,"[a, b]"') + f"x,{cell}\n")
    assert [row.reason for row in skipped] == ["malformed row"] and len(posts) == 12


def test_a_told_column_of_flags_may_have_a_malformed_cell(tmp_path: Path) -> None:
    data = "text,spam\nx,1\ny,0\nz,?\n"
    posts, [skipped], _ = read(tmp_path / "a.csv", data, columns={"tags": ["spam"]})
    assert [post.tags for post in posts] == [["spam"], []] and "neither 0 nor 1" in skipped.place


def test_vectors_without_spaces_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds only 0 and 1"):
        read(tmp_path / "a.csv", table("title,tags", "x,01100#", rows=2))


def test_a_separator_that_is_told_decides(tmp_path: Path) -> None:
    data = table("title,tags", '"x","C; C++, (other), \'90s"')
    [first, *_], _, _ = read(tmp_path / "a.csv", data, tag_separator=",")
    assert first.tags == ["C; C++", "(other)", "'90s"]
    mixed = table("title,tags", "x,to do", 1000) + '"x","to do, bug"\n'
    assert "set ingest.tag_separator" in read(tmp_path / "a.csv", mixed)[1][0].place


def test_a_column_is_found_with_or_without_its_spaces(tmp_path: Path) -> None:
    for name, binding in (("reply", True), (" reply ", True), ("reply", False)):
        data = "id, reply ,body,tags\n1,x,y,a\n"
        [post], _, _ = read(tmp_path / "a.csv", data, columns={"body": name}, binding=binding)
        assert post.body == "x"


def test_an_object_without_usual_names_is_a_post_where_its_column_is_told(tmp_path: Path) -> None:
    row = '{"question": "Sort?", "note": "x"}\n'
    [post], _, _ = read(tmp_path / "a.jsonl", row, tagged=False, columns={"title": "question"})
    assert post.title == "Sort?"


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("key", ["answers", "comments"])
def test_a_post_beside_lists_of_none_is_the_row(tmp_path: Path, key: str, indent: int | None) -> None:
    data = {"question": {"title": "Sort", "tags": ["a"]}, key: [{"body": "do y", "tags": []}]}
    [post], _, _ = read(tmp_path / "a.json", json.dumps(data, indent=indent))
    assert (post.title, post.body, post.tags) == ("Sort", "", ["a"])
    data = {"meta": {"description": "x"}, "stuff": {"list": [QUESTION]}}
    assert read(tmp_path / "a.json", json.dumps(data, indent=indent))[0][0].title == "Sort"
    with pytest.raises(UserError, match="no list of objects"):
        read(tmp_path / "a.json", json.dumps({key: [{"body": "y", "tags": []}]}, indent=indent))


@pytest.mark.parametrize(("late", "first"), [("body", {}), ("split", {}), ("tag3", {"tag1": "a", "tag2": "b"})])
def test_a_column_that_only_later_rows_have_is_an_error(tmp_path: Path, late: str, first: dict) -> None:
    rows = [{"title": f"x {number}"} | (first or {"tags": ["a"]}) for number in range(1001)]
    rows[-1] |= {late: "test", "more": 1}
    with pytest.raises(UserError, match=rf"a\.jsonl, row 1001: '{late}' is in none of the first rows; write it in"):
        read(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows)))
    rows[0][late] = None
    assert len(read(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows)))[0]) == 1001


def test_a_page_may_be_empty(tmp_path: Path) -> None:
    (tmp_path / "p1.json").write_text('{"items": [{"title": "x", "tags": ["a"]}], "has_more": true}')
    for empty in ('{"items": [], "has_more": false}', "[]", '{"hits": {"total": 0, "hits": []}}', '{"articles": []}'):
        (tmp_path / "p2.json").write_text(empty)
        assert [post.title for post in read_posts(tmp_path) if isinstance(post, Post)] == ["x"]


@pytest.mark.parametrize(
    "row",
    [
        {"title": "t", "body": "b", "edits": [{"body": "older"}]},
        {"title": "t", "body": "b", "tags": ["a"], "related": [{"title": "y"}]},
        {"title": "t", "body": "b", "tags": ["a"], "entities": {"hashtags": [{"text": "python"}]}},
        {"title": "t", "body": "b", "tags": ["a"], "revisions": [{"title": "old", "body": "older", "tags": ["z"]}]},
    ],
)
def test_a_post_may_hold_other_texts(tmp_path: Path, row: dict) -> None:
    [post], _, _ = read(tmp_path / "a.json", json.dumps(row), tagged=False)
    assert (post.title, post.body) == ("t", "b")


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.json", '{"1": {"title": "x", "tags": []}, "2": {"title": "y", "tags": ["a"]}}'),
        ("a.json", '{"error_id": 502, "errors": []}'),
        ("a.jsonl", "\n\n"),
    ],
)
def test_json_without_posts_is_an_error(tmp_path: Path, name: str, data: str) -> None:
    with pytest.raises(UserError, match=r"no list of objects|needs a column"):
        read(tmp_path / name, data)


def test_what_a_folder_holds_besides_is_told(tmp_path: Path) -> None:
    (tmp_path / "year=2021").mkdir()
    with pytest.raises(UserError, match="folders in it are not read: year=2021/; name one of them"):
        list(read_posts(tmp_path))
    (tmp_path / "a.csv").write_text("title,tags\nx,a\n")
    (tmp_path / "dataset_info.json").write_text('{"description": "about"}')
    files: list[File] = []
    assert len(list(read_posts(tmp_path, files=files))) == 1
    assert "passed over: year=2021/" in described(distinct(files)[0])
    for name in ("b.csv.bz2", "c.xlsx", "d.tab", "notes.md"):
        (tmp_path / name).write_bytes(b"")
    files.clear()
    assert len(list(read_posts(tmp_path, files=files))) == 1
    assert described(distinct(files)[0]).endswith("passed over: year=2021/, b.csv.bz2, c.xlsx, d.tab")
    (tmp_path / "_b.csv").write_text("title,tags\ny,a\n")
    (tmp_path / "state.csv").write_text("title,tags\nz,a\n")
    (tmp_path / "README.md").symlink_to(tmp_path / "gone.md")
    assert len(list(read_posts(tmp_path))) == 3
    (tmp_path / "b.csv").symlink_to(tmp_path / "gone.csv")
    with pytest.raises(UserError, match=r"b\.csv: a link to a file that is missing"):
        list(read_posts(tmp_path))


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n", "\t", "\u2028", "\x85"])
def test_a_title_is_one_line(tmp_path: Path, end: str) -> None:
    [post], _, _ = read(tmp_path / "a.jsonl", json.dumps({"title": f"one{end}two", "tags": ["a"]}))
    assert post.title == "one two"


@pytest.mark.parametrize("more", range(-2, 3))
def test_a_first_line_may_end_with_the_bytes_that_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: int
) -> None:
    lines = [json.dumps({"title": f"Title {number}", "tags": ["a"]}) + "\n" for number in range(9)]
    monkeypatch.setattr(json_files, "HEAD", len(lines[0]) + more)
    (tmp_path / "a.json").write_text("".join(lines))
    assert [post.title for post in read_posts(tmp_path / "a.json")] == [f"Title {number}" for number in range(9)]
