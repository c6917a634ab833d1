"""Layouts that people have: parts of dumps, JSON of an API, encodings, fastText's files; what ingest tells of them."""

import json
from pathlib import Path

import pytest
from test_bad_input import ingest
from test_posts import dump

from tagstudy.core.errors import UserError
from tagstudy.data.fields import Post
from tagstudy.data.files import File, ReadOptions, described, distinct
from tagstudy.data.readers import Skipped, read_posts

ROW = '<row Id="{}" PostTypeId="1" Title="{}" Body="&lt;p&gt;{}&lt;/p&gt;" Tags="|a|b|" />'


def read(path: Path, data: str | bytes, **options: str) -> tuple[list[Post], list[Skipped], str]:
    """Posts, other rows, and the line that ingest prints."""
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    files: list[File] = []
    rows = list(read_posts(path, options=ReadOptions(**options), files=files))  # type: ignore[arg-type]
    posts = [row for row in rows if isinstance(row, Post)]
    return posts, [row for row in rows if isinstance(row, Skipped)], described(distinct(files)[0])


# --------------------------------------------------------------------------- dumps


@pytest.mark.parametrize("end", range(3, 100, 7))
def test_a_dump_that_is_cut_off_gives_its_whole_rows(tmp_path: Path, end: int) -> None:
    whole, _, line = read(tmp_path / "Posts.xml", dump())
    assert "part of a dump" not in line
    posts, _, line = read(tmp_path / "Posts.xml", dump()[:-end])
    assert posts == whole and "a part of a dump" in line


def test_a_dump_without_a_beginning(tmp_path: Path) -> None:
    posts, _, line = read(tmp_path / "Posts.xml", ROW.format(1, "x", "y") + ROW.format(2, "z", "") + "\n</posts>")
    assert [post.id for post in posts] == ["1", "2"] and "a part of a dump" in line


@pytest.mark.parametrize("reference", ["&#x0E;", "&#14;", "&#x1f;", "&#0;", "&#x000b;", "&#31;"])
def test_characters_that_xml_forbids_are_dropped_and_counted(tmp_path: Path, reference: str) -> None:
    rows = ROW.format(1, "x", f"Press {reference}ctrl{reference} 1.") + ROW.format(2, "&#xA;y&#x9;z&#13;", "&#x10;0")
    posts, _, line = read(tmp_path / "Posts.xml", f"<posts>{rows}</posts>")
    assert [post.body for post in posts] == ["Press ctrl 1.", "0"]
    assert "3 characters that XML forbids were dropped" in line


def test_long_rows_are_read_in_pieces(tmp_path: Path) -> None:
    """Longer than what is read at a time, and than what is held back."""
    rows = "".join(ROW.format(number, "x" * 1000, "word &#x0E;" * 272_728) for number in range(2))
    posts, _, _ = read(tmp_path / "Posts.xml", f"<posts>{rows}</posts>")
    assert [len(post.body.split()) for post in posts] == [272_728] * 2


def test_the_title_of_a_dump_is_plain_text(tmp_path: Path) -> None:
    [post], _, _ = read(tmp_path / "Posts.xml", f"<posts>{ROW.format(1, 'Why does &amp;nbsp; break?', 'x')}</posts>")
    assert post.title == "Why does &nbsp; break?"


# --------------------------------------------------------------------------- JSON


def test_an_answer_of_the_api(tmp_path: Path) -> None:
    item = {"question_id": 11, "title": "What&#39;s a &quot;list&quot;?", "body": "<p>Is <code>a &lt; b</code>?</p>"}
    data = json.dumps({"items": [item | {"tags": ["python", "list"]}], "has_more": False})
    [post], _, _ = read(tmp_path / "a.json", data)
    assert post == Post("11", 'What\'s a "list"?', "Is a < b?", ["python", "list"])


@pytest.mark.parametrize("indent", [None, 2])
def test_an_array_in_json(tmp_path: Path, indent: int | None) -> None:
    rows = [{"id": 1, "title": "x", "tags": ["a"]}, 5, {"title": "y"}, {"title": "z", "tags": [{"name": "b"}]}]
    posts, skipped, _ = read(tmp_path / "a.json", json.dumps(rows, indent=indent))
    assert posts == [Post("1", "x", "", ["a"]), Post("a.json:4", "z", "", ["b"])]
    assert [row.place.partition("a.json, ")[2] for row in skipped] == [
        "row 2: malformed row: not an object",
        "row 3: malformed row: no 'tags'",
    ]


def test_one_line_of_json_with_objects_as_tags_is_a_post(tmp_path: Path) -> None:
    [post], _, _ = read(tmp_path / "a.json", '{"title": "x", "tags": [{"name": "bug"}]}')
    assert post.tags == ["bug"]


# --------------------------------------------------------------------------- encodings, quotes and fastText


@pytest.mark.parametrize(
    ("encoding", "text", "parameter"),
    [
        ("utf-8", "Café – naïve", None),
        ("utf-8-sig", "Café", None),
        ("utf-16", "Café", None),
        ("utf-16-le", "Cafe", None),
        ("cp1252", "Café – “naïve”", None),
        ("latin-1", "naïve \x9d Café", None),
        ("cp1251", "Как отсортировать список строк в этом языке и почему это не работает", None),
        ("shift_jis", "文字列を処理するときにエラーが出るのはなぜですか、教えてください", None),
        ("cp1250", "Žluťoučký kůň", "cp1250"),
        ("cp1251", "Как", "cp1251"),
    ],
)
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.json", "a.txt"])
def test_encodings(tmp_path: Path, name: str, encoding: str, text: str, parameter: str | None) -> None:
    row = json.dumps({"title": text, "tags": ["a"]}, ensure_ascii=False)
    data = {"a.csv": f"title,tags\n{text},a\n", "a.jsonl": row, "a.json": f"[{row}]", "a.txt": f"__label__a {text}\n"}
    [post], _, line = read(tmp_path / name, data[name].encode(encoding), **{"encoding": parameter} if parameter else {})
    assert str(post.text) == text
    assert ("encoded in" in line) == (not encoding.startswith("utf-8")), line


RUSSIAN = ["Выбор столбца", "Как отсортировать список", "Не могу подключиться к базе", "Юникод в файлах"]


@pytest.mark.parametrize("encoding", ["cp1251", "koi8_r", "cp866", "iso8859_5"])
def test_a_short_file_in_cyrillic(tmp_path: Path, encoding: str) -> None:
    titles = [f"{RUSSIAN[number % 4]} {number}" for number in range(10)]
    data = "title,tags\n" + "".join(f"{title},python list\n" for title in titles)
    posts, _, _ = read(tmp_path / "a.csv", data.encode(encoding))
    assert [post.title for post in posts] == titles


@pytest.mark.parametrize("shifted", [0, 1])
@pytest.mark.parametrize("encoding", ["gb18030", "big5", "cp932", "euc_jp"])
def test_a_detector_gets_whole_characters(tmp_path: Path, encoding: str, shifted: int) -> None:
    """Its sample ends within a character of two bytes in one of these two files."""
    text = (
        "这是一个问题" if encoding == "gb18030" else "這是一個問題" if encoding == "big5" else "これは日本語の質問です"
    )
    rows = "".join(f"{text * 5},a\n" for _ in range(2000))
    (tmp_path / "a.csv").write_bytes(("title,tags\n" + "x" * shifted + rows).encode(encoding))
    *_, post = read_posts(tmp_path / "a.csv")
    assert isinstance(post, Post) and post.title == text * 5


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "cp1250"])
def test_an_encoding_that_need_not_be_that_of_the_file(tmp_path: Path, encoding: str) -> None:
    """As for predict.py: Unicode is known by itself."""
    (tmp_path / "a.csv").write_bytes("title,x\nŽluťoučký kůň,y\n".encode(encoding))
    [post] = read_posts(tmp_path / "a.csv", options=ReadOptions(False, encoding="cp1250", binding=False))
    assert isinstance(post, Post) and post.title == "Žluťoučký kůň"


def test_the_remedy_of_an_encoding_works(tmp_path: Path) -> None:
    data = b"title,tags\n" + (b"x" * 400 + b",a\n") * 3000 + b"na\xefve,a\n"
    with pytest.raises(UserError, match=r"set ingest\.encoding, such as cp1252"):
        read(tmp_path / "a.csv", data)
    posts, _, _ = read(tmp_path / "a.csv", data, encoding="cp1252")
    assert posts[-1].title == "naïve"


@pytest.mark.parametrize("broken", [b"\xc3 x", b"na\xefve", b"\xe2\x82"])
def test_a_broken_byte_does_not_make_utf_8_another_encoding(tmp_path: Path, broken: bytes) -> None:
    rows = "".join(f"¿Cómo ordeno una lista más rápido? {number},a\n" for number in range(9)).encode()
    with pytest.raises(UserError, match=r"a\.csv, after row \d+: not UTF-8 .*correct it, or set ingest\.encoding"):
        read(tmp_path / "a.csv", b"title,tags\n" + rows + broken + b",a\n" + rows)


@pytest.mark.parametrize("ahead", ["sep=;\r\n", '"sep=;"\n', "SEP=;\n", "\n", " \n\n", "\n\nsep=;\n"])
def test_lines_ahead_of_the_header(tmp_path: Path, ahead: str) -> None:
    """Excel's, which states the delimiter, and blank ones."""
    posts, _, _ = read(tmp_path / "a.csv", ahead + "id;title;tags\n1;sort, then print;a,b\n2;two;c\n")
    assert [(post.id, post.title, post.tags) for post in posts] == [
        ("1", "sort, then print", ["a", "b"]),
        ("2", "two", ["c"]),
    ]


def test_quotes_that_are_escaped_by_backslashes(tmp_path: Path) -> None:
    rows = [
        '1,First,"<a href=\\"https://example.org\\" rel=\\"x\\">see, here</a>",html',
        '2,Second,"say \\"hi\\", twice, in C:\\new",python list',
        "3,Third,plain,sql",
    ]
    posts, _, line = read(tmp_path / "a.csv", "\n".join(["id,title,body,tags", *rows]))
    assert [post.body for post in posts] == ["see, here", 'say "hi", twice, in C:\\new', "plain"]
    assert "quotes are escaped by backslashes" in line


def test_a_stated_delimiter_ahead_of_quotes_that_are_escaped_by_backslashes(tmp_path: Path) -> None:
    rows = [f'"say \\"hi {number}\\", twice",see,a' for number in range(5)]
    posts, _, _ = read(tmp_path / "a.csv", "\n".join(["sep=,", "title,body,tags", *rows]))
    assert [post.title for post in posts] == [f'say "hi {number}", twice' for number in range(5)]


def test_backslashes_before_quotes_that_are_doubled(tmp_path: Path) -> None:
    posts, _, line = read(tmp_path / "a.csv", 'title,body,tags\nx,"a \\""quoted\\"" word",a\ny,"C:\\",b\n')
    assert [post.body for post in posts] == ['a \\"quoted\\" word', "C:\\"]
    assert "backslashes" not in line


@pytest.mark.parametrize("labels", ["__label__a, __label__b", "__label__a__label__b", "__label__a , __label__b,"])
def test_commas_between_labels(tmp_path: Path, labels: str) -> None:
    [post], _, _ = read(tmp_path / "a.txt", f"{labels} How much, and why?\n")
    assert post.tags == ["a", "b"] and post.body.removeprefix(", ") == "How much, and why?"


@pytest.mark.parametrize("label", ["__label__a,How", "__label__a|How", "__label__a,b"])
def test_a_label_that_goes_on_is_malformed(tmp_path: Path, label: str) -> None:
    posts, [skipped], _ = read(tmp_path / "a.txt", f"{label} do I\n__label__a|__label__b x, y\n")
    assert posts[0].tags == ["a", "b"] and "put a space behind labels" in skipped.place


def test_fasttext_s_own_names_are_splits(tmp_path: Path) -> None:
    for name in ("cooking.train", "cooking.valid", "cooking.test"):
        (tmp_path / name).write_text("__label__a x\n")
    posts = [row for row in read_posts(tmp_path) if isinstance(row, Post)]
    assert [post.split for post in posts] == ["test", "train", "valid"]


def test_ingest_prints_what_it_found(tmp_path: Path) -> None:
    rows = "".join(f"Größe {number};a, b\n" for number in range(30))
    (tmp_path / "a.csv").write_bytes(f"title;tags\n{rows}".encode("cp1252"))
    printed = ingest(tmp_path, source="a.csv").stdout
    assert (
        "a.csv: title from title, tags from tags, tags written as a,b; encoded in cp1252; columns are split" in printed
    )
