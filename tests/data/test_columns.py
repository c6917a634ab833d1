"""columns.py: the usual names are known, parameters name others, and ingest tells which columns it took."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_bad_input import ingest

from tagstudy.core.errors import UserError
from tagstudy.data.fields import Post
from tagstudy.data.files import File, ReadOptions, described
from tagstudy.data.readers import Skipped, read_posts


def read(path: Path, data: str, **columns: str | list[str]) -> tuple[list[Post], list[Skipped], File]:
    path.write_text(data, encoding="utf-8")
    files: list[File] = []
    rows = list(read_posts(path, options=ReadOptions(columns=columns), files=files))
    return [row for row in rows if isinstance(row, Post)], [row for row in rows if isinstance(row, Skipped)], files[0]


@pytest.mark.parametrize(
    ("header", "text"),
    [
        ("TITLE,ABSTRACT,TAGS", "t\nb"),
        ("title,description,tags", "t\nb"),
        ("title,summary,Keywords", "t\nb"),
        ("title,selftext,topics", "t\nb"),
        ("title,body_markdown,categories", "t\nb"),
        ("question_title,question_body,labels", "t\nb"),
        ("Question Title,Question Text,terms", "t\nb"),
        ("comment_text,more,tags", "t"),
        ("Attribute:Title,Attribute:Body,Attribute:Tags", "t\nb"),
        ("/posts/row/@Title,/posts/row/@Body,/posts/row/@Tags", "t\nb"),
    ],
)
def test_usual_names(tmp_path: Path, header: str, text: str) -> None:
    [post], _, _ = read(tmp_path / "a.csv", f"{header}\nt,b,a\n")
    assert (str(post.text), post.tags) == (text, ["a"])


@pytest.mark.parametrize(
    "header",
    ["tag1,tag2", "tags_1,tags_2", "tags[0],tags[1]", "tags/0,tags/1", "Tags.0,Tags.1", "labels/0/name,labels/1/name"],
)
def test_numbered_columns(tmp_path: Path, header: str) -> None:
    [post], _, _ = read(tmp_path / "a.csv", f"title,{header}\nt,to do,bug\n")
    assert post.tags == ["to do", "bug"]


@pytest.mark.parametrize("kind", ["PostTypeId", "post_type_id"])
def test_questions_are_told_by_their_kind(tmp_path: Path, kind: str) -> None:
    posts, skipped, _ = read(tmp_path / "a.csv", f"title,body,tags,{kind}\nt,x,a,1\n,y,,2\n,z,a,5\n,z,a,\n")
    assert [post.title for post in posts] == ["t"]
    assert [row.reason for row in skipped] == ["answer", *["neither question nor answer"] * 2]
    rows = [{"title": "t", "tags": ["a"], kind: 1}, {"body": "y", kind: 2.0}, {"body": "z", kind: [1]}]
    posts, skipped, _ = read(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows)))
    assert [post.title for post in posts] == ["t"]
    assert [row.reason for row in skipped] == ["answer", "neither question nor answer"]
    pq.write_table(pa.table({"title": ["t", ""], "tags": ["a", None], kind: [1.0, 2.0]}), tmp_path / "a.parquet")
    assert [getattr(row, "reason", row) for row in read_posts(tmp_path / "a.parquet")][1:] == ["answer"]


@pytest.mark.parametrize("name", ["id", "question_id", "qa_id", "post_id", "Attribute:Id"])
def test_usual_names_of_ids(tmp_path: Path, name: str) -> None:
    [post], _, _ = read(tmp_path / "a.csv", f"title,{name},tags\nt,7,a\n")
    assert post.id == "7"


def test_columns_that_are_told_go_before_those_with_usual_names(tmp_path: Path) -> None:
    data = 'key,name,body,reply,tags,area\n1,t,"not this text at all",<p>one</p>,x,a b\n2,u,not this,,x,a\n'
    options = {"id": "key", "title": "name", "body": ["reply", "area"], "tags": "area"}
    posts, _, file = read(tmp_path / "a.csv", data, **options)
    assert posts == [Post("1", "t", "one\na b", ["a", "b"]), Post("2", "u", "a", ["a"])]
    assert file.detected["columns"] == {"id": ["key"], "title": ["name"], "body": ["reply", "area"], "tags": ["area"]}
    assert file.detected["text_columns_left_out"] == ["body"]


@pytest.mark.parametrize(
    ("options", "post"),
    [
        ({"tags": "summary"}, Post("a.csv:2", "t u", "", ["python", "sort"])),
        ({"title": "summary"}, Post("a.csv:2", "python sort", "", ["x"])),
        ({"body": "title"}, Post("a.csv:2", "", "t u", ["x"])),
        ({"id": "title"}, Post("t u", "t u", "python sort", ["x"])),
    ],
)
def test_a_column_that_is_named_for_one_field_is_not_taken_for_another(
    tmp_path: Path, options: dict[str, str], post: Post
) -> None:
    """A text of tags would tell the network what to predict."""
    posts, _, _ = read(tmp_path / "a.csv", "title,summary,tags\nt u,python sort,x\n", **options)
    assert posts == [post]


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
def test_columns_are_split_at_what_splits_the_header(tmp_path: Path, name: str, delimiter: str) -> None:
    data = delimiter.join(["Id", "Title", "Body", "Tags"]) + "\n" + delimiter.join(["1", "t", '"b, c; d"', "a b"])
    posts, _, file = read(tmp_path / name, data)
    assert posts == [Post("1", "t", "b, c; d", ["a", "b"])]
    assert file.detected["delimiter"] == delimiter


def test_an_empty_body_leaves_the_plain_text(tmp_path: Path) -> None:
    posts, _, _ = read(tmp_path / "a.csv", "body,cleaned_text,tags\n,x,a\ny,x,a\n")
    assert [post.body for post in posts] == ["x", "y"]


def test_markdown_keeps_what_stands_between_backticks(tmp_path: Path) -> None:
    body = "Is `<p>` <b>bold</b>?\n```\n<div>\n```\n`a &lt; b`"
    [post], _, _ = read(tmp_path / "a.jsonl", json.dumps({"body_markdown": body, "tags": ["a"]}))
    assert post.body == "Is `<p>` bold?\n```\n<div>\n```\n`a < b`"


def test_rows_of_objects_may_lack_keys_but_not_that_of_the_tags(tmp_path: Path) -> None:
    lines = ['{"title": "t", "tags": "a"}', '{"body": "b", "tags": "a", "more": 1}', '{"title": "t"}']
    posts, skipped, _ = read(tmp_path / "a.jsonl", "\n".join(lines))
    assert [str(post.text) for post in posts] == ["t", "b"]
    assert [row.place.partition("row 3: ")[2] for row in skipped] == ["malformed row: no 'tags'"]


# --------------------------------------------------------------------------- a column for each tag

MULTI_HOT = "id,comment_text,toxic,insult,threat\n1,you are kind,0,0,0\n2,you are rude,1,1,0\n3,I will come,0,0,1\n"


def test_columns_of_0_and_1_are_tags(tmp_path: Path) -> None:
    posts, _, file = read(tmp_path / "a.csv", MULTI_HOT)
    assert [(post.body, post.tags) for post in posts] == [
        ("you are kind", []),
        ("you are rude", ["toxic", "insult"]),
        ("I will come", ["threat"]),
    ]
    assert file.detected["multi_hot"] and file.detected["columns"]["tags"] == ["toxic", "insult", "threat"]


def test_columns_of_0_and_1_may_be_told(tmp_path: Path) -> None:
    posts, _, _ = read(tmp_path / "a.csv", MULTI_HOT, tags=["threat"])
    assert [post.tags for post in posts] == [[], [], ["threat"]]
    posts, skipped, _ = read(tmp_path / "a.csv", MULTI_HOT, tags=["id", "toxic"])
    assert [post.tags for post in posts] == [["id"]]
    assert "'2' in the column 'id', neither 0 nor 1" in skipped[0].place


def test_where_there_are_tags_columns_of_0_and_1_are_not(tmp_path: Path) -> None:
    [post], _, _ = read(tmp_path / "a.csv", "title,tags,closed,locked\nt,a,0,1\n")
    assert post.tags == ["a"]
    with pytest.raises(UserError, match="needs a column 'tags'"):
        read(tmp_path / "a.csv", "title,closed\nt,0\n")


def test_a_post_s_states_are_no_tags_unless_told(tmp_path: Path) -> None:
    data = "text,is_self,locked,has_image,a,b\nx,0,1,1,1,0\ny,1,0,0,0,1\n"
    assert [post.tags for post in read(tmp_path / "a.csv", data)[0]] == [["a"], ["b"]]
    assert [post.tags for post in read(tmp_path / "a.csv", data, tags=["a", "locked"])[0]] == [["a", "locked"], []]


def test_columns_of_0_and_1_are_told_behind_the_tags(tmp_path: Path) -> None:
    _, _, file = read(tmp_path / "a.csv", "text,a,b,split\nx,1,0,train\n", tags=["a", "b"])
    assert "tags from a, b (columns of 0 and 1), body from text" in described({"names": ["a"], **file.detected})


def test_columns_of_false_and_true_are_tags(tmp_path: Path) -> None:
    """As R, Excel and pandas write them."""
    posts, _, _ = read(tmp_path / "a.csv", "text,a,b,c\nx,TRUE,false,True\ny,FALSE,true,\n")
    assert [post.tags for post in posts] == [["a", "c"], ["b"]]


@pytest.mark.parametrize("kind", [pa.int8(), pa.bool_(), pa.float64(), pa.string()])
def test_columns_of_0_and_1_in_parquet(tmp_path: Path, kind: pa.DataType) -> None:
    flags = pa.array([1, 0, 1]).cast(kind if kind != pa.string() else pa.int8()).cast(kind)
    pq.write_table(pa.table({"text": ["x", "y", "z"], "a": flags, "b": flags}), tmp_path / "a.parquet")
    assert [post.tags for post in read_posts(tmp_path / "a.parquet")] == [["a", "b"], [], ["a", "b"]]  # type: ignore[union-attr]


# --------------------------------------------------------------------------- what is told


@pytest.mark.parametrize(
    ("name", "data", "columns", "says"),
    [
        ("a.csv", "title,tags\nt,a\n", {"title": "titel"}, "no column 'titel'.*'title', 'tags'; did you mean 'title'?"),
        ("a.csv", "title,tags\nt,a\n", {"body": ["x"]}, "no column 'x'.*name one of them in ingest.columns.body"),
        ("a.jsonl", '{"title": "t", "tags": "a"}', {"tags": "x"}, "no column 'x'"),
        ("Posts.xml", "<posts/>", {"title": "x"}, "a dump's title is Title, not 'x'; set ingest.columns.title to null"),
        ("Posts.xml", "<posts/>", {"title": "Body"}, "a dump's title is Title, not 'Body'; set"),
        ("a.txt", "__label__a x", {"title": "x"}, "no columns; set ingest.columns to null"),
        ("a.csv", "title,title,tags\nt,u,a\n", {}, "2 columns are named 'title'; rename all but one"),
        ("a.csv", "title,tag\nt,a\n", {}, "rename 'tag' to 'tags', if it is that, or name it in ingest.columns.tags"),
        ("a.csv", "post_content,post_title,tags\nt,u,a\n", {}, "rename 'post_title' to 'title'"),
        ("a.csv", "post_content,tags\nt,a\n", {}, "rename 'post_content' to 'body'.* ingest.columns.body"),
        ("a.csv", "title,x\nt,a\n", {}, "add one, or name it in ingest.columns.tags"),
        ("a.csv", "headline,tags\nt,a\n", {}, "rename 'headline' to 'title'.* ingest.columns.title"),
    ],
)
def test_a_column_that_cannot_be_taken(tmp_path: Path, name: str, data: str, columns: dict, says: str) -> None:
    with pytest.raises(UserError, match=says) as caught:
        read(tmp_path / name, data, **columns)
    assert str(caught.value).startswith(f"{tmp_path / name}: ")


def test_the_remedies_work(tmp_path: Path) -> None:
    [post], _, _ = read(tmp_path / "a.csv", "headline,tag\nt,a\n", title="headline", tags="tag")
    assert post == Post("a.csv:2", "t", "", ["a"])


def test_posts_without_tags_need_no_column_of_tags(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("headline,x\nt,1\n")
    with pytest.raises(UserError, match=r"rename 'headline' to 'title', if it is that$"):
        list(read_posts(tmp_path / "a.csv", options=ReadOptions(tagged=False)))


def test_columns_that_need_not_be_there(tmp_path: Path) -> None:
    """As for predict.py, whose files may be of another layout than those of ingest."""
    options = ReadOptions(False, {"title": "headline", "body": ["reply", "more"], "tags": "area"}, binding=False)
    data = {
        "like.csv": "headline,reply,more,body\nt,one,two,no\n",
        "a.csv": "title,body,markdown\nt,one two,no\n",
        "a.jsonl": '{"headline": "t", "body": "one two"}',
        "Posts.xml": '<posts><row Id="1" PostTypeId="1" Title="t" Body="one two"/></posts>',
    }
    for name, text in data.items():
        (tmp_path / name).write_text(text)
        [post] = read_posts(tmp_path / name, options=options)
        assert isinstance(post, Post) and (post.title, post.body.split()) == ("t", ["one", "two"])
    (tmp_path / "a.txt").write_text("one two")
    [post] = read_posts(tmp_path / "a.txt", options=options)
    assert isinstance(post, Post) and post.body == "one two"
    (tmp_path / "half.csv").write_text("title,reply\nt,one\n")
    with pytest.raises(UserError, match="no column 'more'"):
        list(read_posts(tmp_path / "half.csv", options=options))


def test_ingest_names_the_columns(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"title": f"Post {number}", "tags": ["a", "b"], "reply": "a text of five words", "link": "none"}
        for number in range(30)
    ]
    (tmp_path / "posts").mkdir()
    for name in ("a.jsonl", "b.jsonl"):
        lines = (json.dumps(row | {"title": name + row["title"]}) for row in rows)
        (tmp_path / "posts" / name).write_text("\n".join(lines))
    printed = ingest(tmp_path, source="posts", min_tags=1).stdout
    assert "a.jsonl and 1 more: title from title, tags from tags; text columns left out: reply\n" in printed
    assert json.loads((tmp_path / "data/posts/summary.json").read_text())["files"] == [
        {
            "names": ["a.jsonl", "b.jsonl"],
            "encoding": "utf-8",
            "columns": {"title": ["title"], "tags": ["tags"]},
            "multi_hot": False,
            "text_columns_left_out": ["reply"],
        }
    ]
    columns = {"id": None, "title": None, "body": "reply", "tags": None}
    assert "body from reply" in ingest(tmp_path, source="posts", min_tags=1, columns=columns).stdout
