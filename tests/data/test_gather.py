"""gather.py: parts of a source, read by any number of processes, are read as the whole is."""

import os
import signal
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import IO
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import write_params
from test_layouts import ROW

import ingest as ingest_stage
from tagstudy.core.checksums import SUMS
from tagstudy.core.config import Compute, read_params
from tagstudy.core.errors import UserError
from tagstudy.core.files import read_json
from tagstudy.data import dumps, formats, gather, parts, readers
from tagstudy.data.files import File, ReadOptions, Row, distinct
from tagstudy.data.ingest import ingest
from tagstudy.data.readers import Post, Skipped, files_of, parts_of, read_file

PART = 1000  # bytes
ANSWER = '<row Id="0" PostTypeId="2" Body="an answer" />'
ROWS = [ROW.format(number, f"Title {number} \u00e9", "&lt;p&gt;x&#xA;y &amp;amp; z&lt;/p&gt;") for number in range(60)]
ROWS[3] = ROWS[40] = ANSWER
ROWS[50] = ROWS[50].replace('Tags="', 'Tags="[')
ROWS[55] = ROWS[55].replace('Id="55"', "")


def dump(rows: list[str], between: str = "\n", head: str = "<posts>", tail: str = "</posts>") -> bytes:
    return f"{head}{between}{between.join(rows)}{between}{tail}".encode()


def changed(place: int, old: str, new: str) -> list[str]:
    return [*ROWS[:place], ROWS[place].replace(old, new), *ROWS[place + 1 :]]


DECLARED = "<?xml version='1.0' encoding='{}'?>"
IN_PARTS = {
    "a row a line": dump(ROWS, "\r\n  ", "\ufeff" + DECLARED.format("utf-8") + "\n<posts>"),
    "all rows in one line": dump(ROWS, " "),
    "an attribute on several lines": dump(changed(20, "Title", "a\n\nb\n")),
    "no beginning": dump(ROWS, head=""),
    "no end": dump(ROWS, tail=""),
    "a last row that is cut off": dump(ROWS, tail=ROWS[0][:50]),
    "forbidden characters": dump(changed(30, "Title", "Ti&#x0E;tle&#1;")),
    "malformed": dump(changed(20, " Tags", " <Tags")),
    "an attribute twice": dump(changed(35, " Tags", ' Id="" Tags')),
    "no kind": dump(changed(25, "PostTypeId", "Kind")),
    "not UTF-8": dump(ROWS[:30]).replace(b"</posts>", b"")
    + b'<row PostTypeId="1" Title="\xff"/>'
    + dump(ROWS, head=""),
    "a row that begins within a value": dump(changed(20, "Title 20", '<row Id="')),
    "a comment in the middle": dump([*ROWS[:20], "<!-- <row PostTypeId='1'/>", *ROWS[20:40], "-->", *ROWS[40:]]),
    "an element within a row": dump(changed(30, "/>", "><a/></row>")),
    "another element": dump([*ROWS[:30], "<a/>", *ROWS[30:]]),
    "a long row": dump(changed(30, "Title 30", "long " * PART)),
}
WHOLE = {
    "another encoding": dump(ROWS, head=DECLARED.format("latin-1") + "<posts>").decode().encode("latin-1"),
    "UTF-16": dump(ROWS, head="<posts>").decode().encode("utf-16"),
    "another root": dump(ROWS, head="<rows>", tail="</rows>"),
    "a comment before the rows": dump(ROWS, head="<!-- x --><posts>"),
    "a document type": dump(ROWS, head="<!DOCTYPE posts><posts>"),
    "not XML": b"title,tags\n" * 1000,
}


def read(files: list[File]) -> tuple[list[Post | Skipped], str, list[dict]]:
    """The rows of a file or of its parts, the error that ends them, and what was found out."""
    rows: list[Post | Skipped] = []
    whole = File(files[0].path)
    try:
        for file in files:
            try:
                rows.extend(read_file(file))
            finally:
                whole.add(file)
    except UserError as problem:
        return rows, str(problem), distinct([whole])
    return rows, "", distinct([whole])


@pytest.mark.parametrize("name", [*IN_PARTS, *WHOLE])
def test_a_dump_in_parts_is_read_as_the_whole_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(dumps, "PART", PART)
    monkeypatch.setattr(dumps, "SAMPLE", 5)
    monkeypatch.setattr(readers, "SAMPLE", 5)
    path = tmp_path / "Posts.xml"
    path.write_bytes((IN_PARTS | WHOLE)[name])
    parts = list(parts_of(File(path)))
    assert (len(parts) > 2) == (name in IN_PARTS)
    assert [part.start for part in parts[1:]] == [part.end for part in parts[:-1]]
    assert read(parts) == read([File(path)])


def test_a_part_holds_about_as_many_bytes_as_it_should(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever in a row the bytes of a part end, such as in the middle of `<row`."""
    (tmp_path / "Posts.xml").write_bytes(IN_PARTS["a row a line"])
    whole, longest = read([File(tmp_path / "Posts.xml")]), max(map(len, ROWS))
    for size in range(PART, PART + longest):
        monkeypatch.setattr(dumps, "PART", size)
        *parts, last = parts_of(File(tmp_path / "Posts.xml"))
        assert all(size - longest - 10 < (part.end or 0) - part.start <= size for part in parts), size
        assert len(IN_PARTS["a row a line"]) - last.start <= size
        assert read([*parts, last]) == whole


def test_behind_a_row_longer_than_a_part_splitting_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dumps, "PART", PART)
    path = tmp_path / "Posts.xml"
    path.write_bytes(IN_PARTS["a long row"])
    *parts, last = parts_of(File(path))
    [long] = [part for part in parts if (part.end or 0) - part.start > PART]
    assert (long.end or 0) - long.start < 7 * PART and len(parts) - parts.index(long) > 3
    assert read([*parts, last]) == read([File(path)])
    monkeypatch.setattr(dumps, "LONGEST", 2 * PART)  # without end it would be read into memory
    assert len(list(parts_of(File(path)))) == parts.index(long) + 1


def test_a_text_of_more_than_ten_megabytes_is_read(tmp_path: Path) -> None:
    path = tmp_path / "Posts.xml"
    path.write_bytes(dump([ROW.format(1, "One", "word " * 2_100_000), ROWS[5]]))
    one, other = read_file(File(path))
    assert isinstance(one, Post) and len(one.body) > 10_000_000 and isinstance(other, Post)


def ingested(
    folder: Path, source: Path, workers: int, unfinished: Path | None = None, **changes: object
) -> dict[str, bytes]:
    """What ingest writes."""
    (folder / "out").mkdir(parents=True)
    write_params(folder, ingest={"source": str(source), "tags": 3, "min_tags": 1, "max_malformed": 0.5} | changes)
    ingest(read_params(folder / "params.yaml").ingest, folder / "out", Compute(workers=workers), unfinished)
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of a dump in many parts, whose tags come up one after the other, and of other files."""
    monkeypatch.setattr(dumps, "PART", PART)
    folder = tmp_path / "source"
    folder.mkdir()
    tagged = [row.replace("&lt;a&gt;", f"&lt;a&gt;&lt;b{number // 10}&gt;") for number, row in enumerate(ROWS)]
    (folder / "Posts.xml").write_bytes(dump(tagged))
    (folder / "a.csv").write_text("title,tags\nTitle 7 \u00e9,b0\nOne,b1 z\nTwo,a\n,a\n" + "x,y,z\n" * 2)
    pq.write_table(pa.table({"title": ["Three", "title 7 \u00e9"], "tags": [["a"], ["y"]]}), folder / "a.parquet")
    (folder / "b.csv").write_text("title,tags\n" + "".join(f"Title b{number},z\n" for number in range(50)))
    return folder


def test_any_number_of_processes_writes_the_same_bytes(tmp_path: Path, source: Path) -> None:
    one, two, three = (ingested(tmp_path / str(workers), source, workers) for workers in (1, 2, 3))
    assert one == two == three


@pytest.mark.parametrize("bad", ["a.csv", "b.csv"])
def test_the_first_error_of_the_source_is_told(tmp_path: Path, source: Path, bad: str) -> None:
    (source / bad).write_text("title,tags\n" + '"never closed,a\n' * 3)
    (source / "c.csv").write_text("")
    options = []
    for workers in (1, 2):
        with pytest.raises(UserError) as problem:
            ingested(tmp_path / str(workers), source, workers)
        options.append(str(problem.value))
    assert options[0] == options[1] and options[0].startswith(str(source / bad))


def test_the_first_malformed_row_is_told(tmp_path: Path, source: Path) -> None:
    for workers in (1, 2):
        with pytest.raises(UserError, match=r"Posts\.xml, row 51: malformed row.*; 3 rows are malformed"):
            ingested(tmp_path / str(workers), source, workers, max_malformed=0.0)


def test_a_part_whose_process_is_killed_is_read_again(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, read_row = ingested(tmp_path / "1", source, 1), dumps.read_dump

    def killed_once(file: File, stream: IO[bytes]) -> Iterator[Row]:
        for number, row in enumerate(read_row(file, stream)):
            if number == 5 and file.start and not (tmp_path / "killed").exists():
                (tmp_path / "killed").touch()
                os.kill(os.getpid(), signal.SIGKILL)
            yield row

    monkeypatch.setitem(formats.READERS, ".xml", killed_once)
    assert ingested(tmp_path / "2", source, 2) == one
    assert (tmp_path / "killed").exists()


def test_a_process_that_is_killed_each_time_ends_the_stage_and_earlier_posts_stay(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"source": "source", "tags": 3, "min_tags": 1, "max_malformed": 0.5}
    write_params(tmp_path, ingest=changes, compute={"workers": 2})
    read_whole = parts.read_file

    def killed(file: File) -> object:
        if file.path.name == "b.csv":
            os.kill(os.getpid(), signal.SIGKILL)
        return read_whole(file)

    with chdir(tmp_path):
        ingest_stage.main()
        before = {path: path.read_bytes() for path in Path("data").rglob("*") if path.is_file()}
        monkeypatch.setattr(parts, "read_file", killed)
        with pytest.raises(UserError, match="was killed"):
            ingest_stage.main()
        assert {path: path.read_bytes() for path in Path("data/posts").rglob("*") if path.is_file()} == before


class Stopped(Exception):
    pass


@pytest.fixture
def stopped(tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """The files and the parts of them that are read, by their beginnings; an ingest stopped in the middle was first."""
    taken = []
    read_whole = parts.read_file

    def stop(file: File) -> Iterator[Post | Skipped]:
        taken.append((file.path.name, file.start))
        if file.path.name == "a.csv":
            raise Stopped
        return read_whole(file)

    def note(file: File) -> Iterator[Post | Skipped]:
        taken.append((file.path.name, file.start))
        return read_whole(file)

    monkeypatch.setattr(parts, "read_file", stop)
    with pytest.raises(Stopped):
        resumed(tmp_path, source)
    assert len(taken) > 5
    taken.clear()
    monkeypatch.setattr(parts, "read_file", note)
    return taken


def resumed(folder: Path, source: Path, **changes: object) -> dict[str, bytes]:
    """What ingest writes, with what an earlier call left unfinished."""
    return ingested(folder / f"{uuid4()}", source, 1, unfinished=folder / "unfinished", **changes)


def test_an_ingest_that_was_stopped_reads_the_parts_that_are_missing(
    tmp_path: Path, source: Path, stopped: list[tuple[str, int]]
) -> None:
    again = resumed(tmp_path, source, max_malformed=0.6)  # which no part depends on
    assert [name for name, _ in stopped] == ["a.csv", "a.parquet", "b.csv"]
    assert not (tmp_path / "unfinished").exists()
    whole = ingested(tmp_path / "whole", source, 1, max_malformed=0.6)
    assert again == whole


@pytest.mark.parametrize("name", [parts.FILE, parts.ABOUT, SUMS])
def test_a_damaged_part_is_read_again(name: str, tmp_path: Path, source: Path, stopped: list[tuple[str, int]]) -> None:
    for place, path in zip((0, 100, -2), sorted((tmp_path / "unfinished").rglob(name)), strict=False):
        data = bytearray(path.read_bytes())
        data[place] ^= 1
        path.write_bytes(data)
    sorted((tmp_path / "unfinished").rglob(name))[3].write_bytes(b"")
    sorted((tmp_path / "unfinished").rglob(name))[4].unlink()
    again = resumed(tmp_path, source)
    assert [name for name, _ in stopped] == ["Posts.xml"] * 5 + ["a.csv", "a.parquet", "b.csv"]
    assert again == ingested(tmp_path / "whole", source, 1)


@pytest.mark.parametrize("change", ["the file", "its time", "how it is read", "the code"])
def test_a_part_that_would_be_another_is_read_again(
    change: str, tmp_path: Path, source: Path, stopped: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    changes: dict[str, object] = {}
    if change == "the file":
        (source / "Posts.xml").write_bytes(dump(ROWS[5:]))
    elif change == "its time":
        os.utime(source / "Posts.xml", (1, 1))
    elif change == "how it is read":
        changes = {"tag_separator": " "}
    else:
        monkeypatch.setattr(gather, "CODE", [])
    again = resumed(tmp_path, source, **changes)
    whole = [part for file in files_of(source, ReadOptions()) for part in parts_of(file)]
    assert stopped == [(part.path.name, part.start) for part in whole]
    assert again == ingested(tmp_path / "whole", source, 1, **changes)


def test_a_further_file_leaves_the_parts_of_others(
    tmp_path: Path, source: Path, stopped: list[tuple[str, int]]
) -> None:
    (source / "0.csv").write_text("title,tags\nOther,a\n")
    again = resumed(tmp_path, source)
    assert [name for name, _ in stopped] == ["0.csv", "a.csv", "a.parquet", "b.csv"]
    assert again == ingested(tmp_path / "whole", source, 1)


def test_parts_that_were_read_in_another_way_are_removed(
    tmp_path: Path, source: Path, stopped: list[tuple[str, int]]
) -> None:
    [before] = (tmp_path / "unfinished").iterdir()
    (source / "b.csv").write_text("")
    with pytest.raises(UserError, match=r"b\.csv: the file is empty"):
        resumed(tmp_path, source, tag_separator=" ")
    [after] = (tmp_path / "unfinished").iterdir()
    assert before != after and len(list(after.glob("*/*/SHA256SUMS"))) == len(stopped) - 1


def test_a_name_that_is_no_text_is_read(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    path = tmp_path / os.fsdecode(b"source/caf\xe9.csv")
    path.write_text("title,tags\n" + "".join(f"Title {number},a\n" for number in range(20)))
    ingested(tmp_path / "study", path, 1)
    [found] = read_json(tmp_path / "study/out/summary.json")["files"]
    assert found["names"] == [path.name]


def test_a_link_that_leads_nowhere_stops_no_folder_of_tables(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    numbers = range(20)
    (tmp_path / "source/Questions.csv").write_text("Id,Title,Body\n" + "".join(f"{n},Title {n},\n" for n in numbers))
    (tmp_path / "source/Tags.csv").write_text("Id,Tag\n" + "".join(f"{n},a\n" for n in numbers))
    (tmp_path / "source/.#Tags.csv").symlink_to("someone@somewhere")  # Emacs' lock of a file
    summary = ingested(tmp_path / "study", tmp_path / "source", 1)["out/summary.json"]
    assert b'"kept": 20' in summary
