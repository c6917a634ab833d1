"""Minimal files in the layouts that people have, each with the posts in it and what ingest says of it."""

import gzip
import json
from pathlib import Path
from unicodedata import normalize

import pytest
from test_stacksample import TAGS as STACKSAMPLE_TAGS

from tagstudy.core.errors import UserError
from tagstudy.data.files import File, described, distinct
from tagstudy.data.readers import Post, Skipped, read_posts
from tagstudy.data.text import tokenize

DUMP_ROW = (
    '  <row Id="{}" PostTypeId="1" CreationDate="2024-05-01T00:00:00.000" Score="1" Body="&lt;p&gt;{}&lt;/p&gt;" '
    'Title="{}" Tags="|bread|oven|" ContentLicense="CC BY-SA 4.0" />\n'
)
BREAD, CAKE = DUMP_ROW.format(1, "It burns.", "Bake bread"), DUMP_ROW.format(2, "It sinks.", "Bake cake")
BAKED = [("1", "Bake bread\nIt burns.", ["bread", "oven"]), ("2", "Bake cake\nIt sinks.", ["bread", "oven"])]
XML = '<?xml version="1.0" encoding="utf-8"?>\n<posts>\n'
API = {
    "items": [
        {
            "question_id": 11,
            "title": "What&#39;s a &quot;list&quot;?",
            "body": "<p>Is <code>a &lt; b</code> fine?</p>",
            "tags": ["python", "list"],
        }
    ],
    "has_more": False,
    "quota_max": 300,
}
SORT = {"id": 11, "title": "Sort it", "body": "<p>How?</p>", "tags": ["python", "list"]}
SORTED = ("11", "Sort it\nHow?", ["python", "list"])
JSON_LINES = json.dumps(SORT) + '\n{"id": 12, "title": "Join it", "body": "<p>Why?</p>", "tags": ["sql"]}\n'
LINKER = "It fails\nThe linker cannot find "
STACKSAMPLE = (
    "Id,OwnerUserId,CreationDate,ClosedDate,Score,Title,Body\n"
    "80,26,2008-08-01T13:57:07Z,NA,26,Read a file,{}\n"
    "90,58,2008-08-01T14:41:24Z,NA,144,Branch and merge,<p>Any tips?</p>\n"
)
PRINTED = (
    "title,tags\nset,\"{'python', 'list'}\"\npostgres,\"{python,list}\"\n"
    'R,"c(""python"", ""list"")"\nquoted,"\'python\', \'list\'"\narray,"array([\'python\', \'list\'], dtype=object)"\n'
)
BACKSLASH = (
    'id,title,body,tags\n1,First,"<a href=\\"https://example.org\\" rel=\\"nofollow\\">see, here</a>",html\n'
    '2,Second,"say \\"hi\\", twice",python list\n3,Third,plain,sql\n'
)

# A file's name, or a folder's with its files; its content; the id (None: made up), text and tags of each post; what the
# line of ingest has to say.
CASES: dict[str, tuple[str | bytes | dict[str, str | bytes], list[tuple[str | None, str, list[str]]], list[str]]] = {
    "01_bigquery.csv": (
        "id,title,body,tags,view_count\n1,Merge two frames,<p>How?</p>,python|pandas,3\n"
        "2,Sort a list,<p>How?</p>,c#|.net|linq,4\n3,Plot a line,<p>How?</p>,r,5\n",
        [
            ("1", "Merge two frames\nHow?", ["python", "pandas"]),
            ("2", "Sort a list\nHow?", ["c#", ".net", "linq"]),
            ("3", "Plot a line\nHow?", ["r"]),
        ],
        ["tags written as a|b"],
    ),
    "02_head.xml": (XML + BREAD + CAKE + BREAD[:50], BAKED, ["a part of a dump", "the last row is cut off"]),
    "02_grep.xml": (BREAD + CAKE, BAKED, ["a part of a dump"]),
    "03_control_char": (
        {"Posts.xml": XML + BREAD + DUMP_ROW.format(3, "Press &#x0E;ctrl 1.", "Set the timer") + CAKE + "</posts>\n"},
        [BAKED[0], ("3", "Set the timer\nPress ctrl 1.", ["bread", "oven"]), BAKED[1]],
        ["1 characters that XML forbids were dropped"],
    ),
    "04_api.json": (
        json.dumps(API),
        [("11", 'What\'s a "list"?\nIs a < b fine?', ["python", "list"])],
        ["id from question_id"],
    ),
    "04_array.json": (json.dumps([SORT], indent=2), [SORTED], ["body from body"]),
    "04_lines.json": (JSON_LINES, [SORTED, ("12", "Join it\nWhy?", ["sql"])], []),
    "04_lines.jsonl": (JSON_LINES, [SORTED, ("12", "Join it\nWhy?", ["sql"])], []),
    "05_abstract.csv": (
        "TITLE,ABSTRACT,TAGS\nA new net,We train a deep network on images.,\"['cs.CV', 'cs.LG']\"\n",
        [(None, "A new net\nWe train a deep network on images.", ["cs.CV", "cs.LG"])],
        ["body from ABSTRACT", "tags written as printed lists"],
    ),
    "05_description.csv": (
        "id,title,description,tags\n1,It fails,The linker cannot find a symbol.,c++ linker\n",
        [("1", LINKER + "a symbol.", ["c++", "linker"])],
        ["body from description"],
    ),
    "05_body_markdown.jsonl": (
        '{"question_id": 1, "title": "It fails", "body_markdown": "The linker cannot find a symbol in `main.o`", '
        '"tags": ["c++", "linker"]}\n',
        [("1", LINKER + "a symbol in `main.o`", ["c++", "linker"])],
        ["markdown from body_markdown"],
    ),
    "06_stacksample": (
        {
            "Questions.csv": STACKSAMPLE.format('"<p>In a café, how?</p>"').encode("latin-1"),
            "Tags.csv": STACKSAMPLE_TAGS,
            "Answers.csv": "Id,OwnerUserId,CreationDate,ParentId,Score,Body\n92,61,2008-08-01,90,13,<p>Read</p>\n",
        },
        [
            ("80", "Read a file\nIn a café, how?", ["python", "file"]),
            ("90", "Branch and merge\nAny tips?", ["svn"]),
        ],
        ["tags from Tag", "encoded in cp1252", "passed over: Answers.csv"],
    ),
    "07_multihot.csv": (
        "id,comment_text,toxic,insult,threat\n1,you are kind,0,0,0\n2,you are rude,1,1,0\n3,I will come,0,0,1\n",
        [("1", "you are kind", []), ("2", "you are rude", ["toxic", "insult"]), ("3", "I will come", ["threat"])],
        ["tags from toxic, insult, threat (columns of 0 and 1)"],
    ),
    "10_printed_lists.csv": (
        PRINTED,
        [(None, title, ["python", "list"]) for title in ("set", "postgres", "R", "quoted", "array")],
        ["tags written as printed lists"],
    ),
    "11_escaped.csv": (
        "Id,Title,Body,Tags\n4,Set opacity,&lt;p&gt;I use &lt;code&gt;double&lt;/code&gt;.&lt;/p&gt;,"
        "&lt;c#&gt;&lt;winforms&gt;\n",
        [("4", "Set opacity\nI use double.", ["c#", "winforms"])],
        ["tags written as &lt;a&gt;&lt;b&gt;"],
    ),
    "12_objects.jsonl": (
        '{"title": "Crash on start", "body": "It stops.", '
        '"tags": [{"id": 1, "name": "bug"}, {"id": 2, "name": "help wanted"}]}\n',
        [(None, "Crash on start\nIt stops.", ["bug", "help wanted"])],
        [],
    ),
    "13_commas.txt": (
        "__label__sauce, __label__cheese How much starch?\n__label__sauce__label__cheese How much starch again?\n",
        [(None, "How much starch?", ["sauce", "cheese"]), (None, "How much starch again?", ["sauce", "cheese"])],
        [],
    ),
    "14_utf16.tsv": (
        "Id\tTitle\tTags\r\n1\tCafé list\tpython\r\n".encode("utf-16"),
        [("1", "Café list", ["python"])],
        ["encoded in utf-16"],
    ),
    "15_backslash.csv": (
        BACKSLASH,
        [
            ("1", "First\nsee, here", ["html"]),
            ("2", 'Second\nsay "hi", twice', ["python", "list"]),
            ("3", "Third\nplain", ["sql"]),
        ],
        ["quotes are escaped by backslashes"],
    ),
    "16_tabs.csv": (
        "Id\tTitle\tTags\n1\tSort it\tpython list\n",
        [("1", "Sort it", ["python", "list"])],
        [r"columns are split at '\t'"],
    ),
    "17_title_entity.xml": (
        '<posts><row Id="1" PostTypeId="1" Title="Why does &amp;nbsp; break my page?" '
        'Body="&lt;p&gt;See title.&lt;/p&gt;" Tags="|html|" /></posts>',
        [("1", "Why does &nbsp; break my page?\nSee title.", ["html"])],
        [],
    ),
    "18_latin1.csv": (
        b"title,tags\nna\xefve \x9d test,python\nsecond,sql\n",
        [(None, "naïve \x9d test", ["python"]), (None, "second", ["sql"])],
        ["encoded in cp1252"],
    ),
    "19_cooking.train": ("__label__bread __label__oven Bake bread\n", [(None, "Bake bread", ["bread", "oven"])], []),
    "20_attribute.csv": (
        "Attribute:Id,Attribute:Title,Attribute:Body,Attribute:Tags\n1,Sort it,<p>How?</p>,|python|list|\n",
        [("1", "Sort it\nHow?", ["python", "list"])],
        ["title from Attribute:Title"],
    ),
}


def write(path: Path, content: str | bytes | dict[str, str | bytes]) -> Path:
    if isinstance(content, dict):
        path.mkdir()
        for name, data in content.items():
            write(path / name, data)
    else:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize("name", CASES)
def test_posts_and_line(tmp_path: Path, name: str) -> None:
    content, expected, says = CASES[name]
    files: list[File] = []
    posts = list(read_posts(write(tmp_path / name, content), files=files))
    assert all(isinstance(post, Post) for post in posts), posts
    made_up = [f"{name}:{post.id.partition(':')[2]}" for post in posts]
    assert [(post.id, str(post.text), post.tags) for post in posts] == [
        (made_up[number] if own is None else own, text, tags) for number, (own, text, tags) in enumerate(expected)
    ]
    [found] = distinct(files)
    line = described(found)
    assert all(part in line for part in says), line
    assert "left out:" not in line and len(line) < 500
    if name.startswith("19"):
        assert [post.split for post in posts] == ["train"]


def test_a_row_with_a_comma_too_many_is_counted(tmp_path: Path) -> None:
    """StackSample's text as it is, without quotes around a body with a comma."""
    questions = STACKSAMPLE.format("<p>In a café, how?</p>").encode("latin-1")
    tables: dict[str, str | bytes] = {"Questions.csv": questions, "Tags.csv": STACKSAMPLE_TAGS}
    skipped, post = read_posts(write(tmp_path / "stack", tables))
    assert isinstance(skipped, Skipped) and "row 2: malformed row: 8 columns, not 7, at line 2" in skipped.place
    assert isinstance(post, Post) and post.tags == ["svn"]


def test_vectors_are_no_names(tmp_path: Path) -> None:
    """Case 07_multihot_list.jsonl."""
    rows = '{"text": "you are rude", "tags": [1, 1, 0]}\n{"text": "I will come", "tags": [0, 0, 1]}\n'
    with pytest.raises(UserError, match=r"the tags column holds only 0 and 1.*a 0/1 column for each tag"):
        list(read_posts(write(tmp_path / "07_multihot_list.jsonl", rows)))


def test_titles_of_every_script(tmp_path: Path) -> None:
    """Case 09_scripts.jsonl: from the file to the tokens."""
    titles = {
        "हिन्दी में प्रोग्राम": ["हिन्दी", "में", "प्रोग्राम"],
        "ভাষা শিক্ষা": ["ভাষা", "শিক্ষা"],
        "ภาษาไทยเขียน": ["ภา", "าษ", "ษา", "าไ", "ไท", "ทย", "ยเ", "เขี", "ขีย", "ยน"],
        "مَرْحَبًا بكم": ["مَرْحَبًا", "بكم"],
        "שָׁלוֹם": [normalize("NFC", "שָׁלוֹם")],
        normalize("NFD", "café déjà"): ["café", "déjà"],
        "Pythonで文字列を処理する": ["python", "で文", "文字", "字列", "列を", "を処", "処理", "理す", "する"],
        "如何在Python中排序": ["如何", "何在", "python", "中排", "排序"],
    }
    rows = "".join(json.dumps({"title": title, "tags": ["x"]}, ensure_ascii=False) + "\n" for title in titles)
    posts = read_posts(write(tmp_path / "09_scripts.jsonl", rows))
    assert [tokenize(post.title) for post in posts if isinstance(post, Post)] == list(titles.values())


@pytest.mark.parametrize("name", [name for name in CASES if "." in name])
def test_a_case_may_be_compressed(tmp_path: Path, name: str) -> None:
    content, expected, _ = CASES[name]
    data = content.encode() if isinstance(content, str) else content
    assert isinstance(data, bytes)
    posts = list(read_posts(write(tmp_path / f"{name}.gz", gzip.compress(data))))
    assert [(str(post.text), post.tags) for post in posts if isinstance(post, Post)] == [row[1:] for row in expected]
