"""Data sets of Kaggle for this task: StackSample, StackLite and Facebook Recruiting's."""

import gzip
from pathlib import Path

import pytest
from conftest import seven_zipped, zipped

from tagstudy.core.errors import UserError
from tagstudy.data.fields import Post
from tagstudy.data.files import File, ReadOptions, described, distinct
from tagstudy.data.readers import Skipped, read_posts

QUESTIONS = (
    "Id,OwnerUserId,CreationDate,ClosedDate,Score,Title,Body\n"
    '80,26,2008-08-01T13:57:07Z,NA,26,Read a file,"<p>In a café, how?</p>"\n'
    "85,26,2008-08-01T13:57:07Z,NA,26,No tags,\n"
    "90,58,2008-08-01T14:41:24Z,NA,144,Branch and merge,<p>Any tips?</p>\n"
).encode("latin-1")
TAGS = b"Id,Tag\n80,python\n80,file\n83,lost\n90,svn\n"
TABLES = {"Answers.csv": b"Id,Body\n92,x\n", "Questions.csv": QUESTIONS, "Tags.csv": TAGS}
LITE = b"Id,CreationDate,ClosedDate,DeletionDate,Score,OwnerUserId,AnswerCount\n1,2008-07-31T21:26:37Z,NA,NA,1,0,0\n"


def write(source: Path, tables: dict[str, bytes]) -> Path:
    """The tables as a folder, packed by themselves in one, or in an archive with a folder."""
    inside = {f"stack/{name}".replace(".", "__"): data for name, data in tables.items()}
    if source.suffix == ".zip":
        source.write_bytes(zipped(**inside))
    elif source.suffix == ".7z":
        source.write_bytes(seven_zipped(**inside))
    else:
        source.mkdir()
        for name, data in tables.items():
            if source.name == "gz":
                (source / f"{name}.gz").write_bytes(gzip.compress(data))
            elif source.name == "zips":
                (source / f"{name}.zip").write_bytes(zipped(**{name.replace(".", "__"): data}))
            else:
                (source / name).write_bytes(data)
    return source


@pytest.mark.parametrize("name", ["folder", "a.zip", "a.7z", "gz", "zips"])
def test_stacksample_is_joined(tmp_path: Path, name: str) -> None:
    source = write(tmp_path / name, TABLES)
    files: list[File] = []
    assert list(read_posts(source, files=files)) == [
        Post("80", "Read a file", "In a café, how?", ["python", "file"]),
        Post("85", "No tags", "", []),
        Post("90", "Branch and merge", "Any tips?", ["svn"]),
    ]
    line = described(distinct(files)[0])
    assert line.startswith(f"{name}: id from Id, title from Title, body from Body, tags from Tag;")
    assert "encoded in cp1252; passed over:" in line and "Answers.csv" in line
    [first, *_] = read_posts(source, options=ReadOptions(tagged=False))
    assert first == Post("80", "Read a file", "In a café, how?", [])


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("Tags.csv", b"Id,Tag\n90,svn\n80,python\n", "Tags.csv: the tags of 80 come after those of 90; sort the"),
        ("Questions.csv", b"Id,Title\n90,x\n80,y\n", "Questions.csv, row 3: its id is not greater than the one before"),
        ("Questions.csv", b"Id,Title\na,x\n", "Questions.csv, row 2: the id 'a' is not a number"),
        ("Questions.csv", b"Id,Title\n" + b"9" * 5000 + b",x\n", "the id '9+ is not a number"),
        ("Questions.csv", b"Id,CreationDate\n1,x\n", "needs a column 'title'"),
        ("Questions.csv", b"Title\nx\n", "Questions.csv: no column 'Id'"),
        ("Tags.csv", b"Id,Name\n1,x\n", "needs a column 'tags'"),
    ],
)
def test_a_stacksample_that_cannot_be_joined(tmp_path: Path, name: str, data: bytes, says: str) -> None:
    source = write(tmp_path / "folder", TABLES | {name: data})
    with pytest.raises(UserError, match=says):
        list(read_posts(source))


def test_rows_that_are_no_tags_are_counted(tmp_path: Path) -> None:
    source = write(tmp_path / "folder", TABLES | {"Tags.csv": b"Id,Tag\n80,python,more\n80,file\n90,svn\n91,a,b,c\n"})
    rows = list(read_posts(source))
    assert [row.tags for row in rows if isinstance(row, Post)] == [["file"], [], ["svn"]]
    assert [row.place.partition("row ")[2] for row in rows if isinstance(row, Skipped)] == [
        "2: malformed row: 3 columns, not 2, at line 2 of Tags.csv",
        "5: malformed row: 4 columns, not 2, at line 5 of Tags.csv",
    ]


def test_columns_of_the_questions_may_be_told(tmp_path: Path) -> None:
    source = write(tmp_path / "folder", TABLES)
    [first, *_] = read_posts(source, options=ReadOptions(columns={"title": "Body", "body": "Title"}))
    assert first == Post("80", "<p>In a café, how?</p>", "Read a file", ["python", "file"])


@pytest.mark.parametrize("name", ["folder", "gz", "a.zip"])
def test_stacklite_has_no_texts(tmp_path: Path, name: str) -> None:
    source = write(tmp_path / name, {"questions.csv": LITE, "question_tags.csv": b"Id,Tag\n1,data\n"})
    says = r"needs a column 'title'.*'AnswerCount'.*; StackLite has no texts of its questions, StackSample has"
    with pytest.raises(UserError, match=says):
        list(read_posts(source))


def test_options_that_need_not_fit_do_not_bind_either_table(tmp_path: Path) -> None:
    """As for predict.py, with the parameters of a study of other files."""
    tables = {"Questions.csv": "Id,Title,Body\n1,Café,x\n".encode(), "Tags.csv": "Id,Tag\n1,café\n".encode()}
    source = write(tmp_path / "folder", tables)
    options = ReadOptions(columns={"title": "headline"}, encoding="cp1252", binding=False)
    assert list(read_posts(source, options=options)) == [Post("1", "Café", "x", ["café"])]


def test_stacklite_with_titles_is_read(tmp_path: Path) -> None:
    tables = {"questions.csv": b"Id,Title\n1,Plot it\n", "question_tags.csv": b"Id,Tag\n1,data\n1,plot\n"}
    assert list(read_posts(write(tmp_path / "folder", tables))) == [Post("1", "Plot it", "", ["data", "plot"])]


@pytest.mark.parametrize("name", ["folder", "zips"])
def test_a_folder_with_a_file_without_tags_says_what_to_do(tmp_path: Path, name: str) -> None:
    """As Facebook Recruiting's has, with Train.csv and Test.csv, or Train.zip and Test.zip."""
    train = b'"Id","Title","Body","Tags"\n"1","Read a file","<p>How?</p>","python file-io"\n'
    source = write(
        tmp_path / name, {"Train.csv": train, "Test.csv": b'"Id","Title","Body"\n"2","Sort","<p>How?</p>"\n'}
    )
    with pytest.raises(
        UserError, match=r"Test\.csv.*needs a column 'tags'.*or name posts that have tags in ingest.source"
    ):
        list(read_posts(source))
    [tagged] = [path for path in source.iterdir() if path.name.startswith("Train")]
    assert list(read_posts(tagged)) == [Post("1", "Read a file", "How?", ["python", "file-io"], "train")]


def test_a_table_that_only_lists_tags_is_not_stacksample_s(tmp_path: Path) -> None:
    (tmp_path / "questions.csv").write_text("Id,Title,Tags\n1,x,a b\n")
    (tmp_path / "tags.csv").write_text("Id,TagName,Count\n1,a,5\n")
    with pytest.raises(UserError, match=r"tags\.csv: needs a column"):
        list(read_posts(tmp_path))
    [post] = read_posts(tmp_path / "questions.csv")
    assert isinstance(post, Post) and post.tags == ["a", "b"]
