"""parquet.py: what a file decodes to is bounded; values that Python cannot hold are malformed rows."""

import gzip
import random
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tagstudy.core.errors import UserError
from tagstudy.data import parquet_rows
from tagstudy.data.archives import Bounded
from tagstudy.data.files import File
from tagstudy.data.readers import Post, Skipped, parts_of, read_file, read_posts

ROWS = 40
COLUMNS = {"title": pa.array(["read a file"] * ROWS), "tags": pa.array([["x", "y"]] * ROWS)}


def read(folder: Path, **columns: Any) -> list[Post | Skipped]:
    path = folder / "posts.parquet"
    pq.write_table(pa.table(COLUMNS | columns), path, compression="zstd")
    return list(read_posts(path))


def repeated(text: str, rows: int) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array([0] * rows), pa.array([text]))


@pytest.mark.parametrize("inside", ["title", "tags", "another"])
def test_a_dictionary_of_one_long_text_is_refused_before_it_is_decoded(tmp_path: Path, inside: str) -> None:
    texts = repeated("a" * 1_000_000, ROWS)
    lists = pa.ListArray.from_arrays(pa.array(range(ROWS + 1), pa.int32()), texts)
    with pytest.raises(UserError, match="decodes to more than 100 times its size"):
        read(tmp_path, **{inside: lists if inside == "tags" else texts})
    assert (tmp_path / "posts.parquet").stat().st_size < 2000


@pytest.mark.parametrize(
    "kind", [pa.large_string(), pa.binary(), pa.large_binary(), pa.string_view(), pa.binary_view(), pa.json_()], ids=str
)
def test_a_text_of_any_type_that_is_repeated_is_refused(tmp_path: Path, kind: pa.DataType) -> None:
    """Also where the writer did not store Arrow's schema, by which it would be read with its dictionary."""
    path, text = tmp_path / "posts.parquet", '"' + "a" * 1_000_000 + '"'
    storage = pa.array([text] * ROWS)
    texts = pa.ExtensionArray.from_storage(kind, storage) if kind == pa.json_() else storage.cast(kind)
    for store_schema in (True, False):
        pq.write_table(pa.table(COLUMNS | {"body": texts}), path, compression="zstd", store_schema=store_schema)
        with pytest.raises(UserError, match="decodes to more than 100 times its size"):
            list(read_posts(path))


@pytest.mark.parametrize("encoding", ["DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"])
def test_texts_in_delta_encodings_are_read(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "posts.parquet"
    titles = [f"a title of number {number}" for number in range(3000)]
    table = pa.table({"title": titles, "tags": [["x"]] * 3000})
    pq.write_table(table, path, use_dictionary=["tags.list.element"], column_encoding={"title": encoding})
    assert [post.title for post in read_posts(path)] == titles


def test_texts_in_a_delta_encoding_that_decode_to_far_more_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "posts.parquet"
    table = pa.table(COLUMNS | {"title": ["a" * 1_000_000] * ROWS})
    encodings = {"title": "DELTA_BYTE_ARRAY"}
    pq.write_table(table, path, use_dictionary=["tags.list.element"], column_encoding=encodings, compression="zstd")
    with pytest.raises(UserError, match="decodes to more than 100 times its size"):
        list(read_posts(path))


def test_an_archive_is_unpacked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each row group seeks within its file, which in an archive would unpack it from its beginning again."""
    titles = [f"title {number}" for number in range(3000)]
    pq.write_table(pa.table({"title": titles, "tags": [["x"]] * 3000}), tmp_path / "posts.parquet", row_group_size=100)
    packed = tmp_path / "posts.parquet.gz"
    packed.write_bytes(gzip.compress((tmp_path / "posts.parquet").read_bytes()))
    size, read = (tmp_path / "posts.parquet").stat().st_size, 0
    readinto = Bounded.readinto

    def counted(stream: Bounded, buffer: memoryview) -> int:
        nonlocal read
        read += (got := readinto(stream, buffer))
        return got

    monkeypatch.setattr(Bounded, "readinto", counted)
    assert [post.title for post in read_posts(packed)] == titles
    assert read <= size + 2**17  # bytes, with those that are looked at first


def test_long_texts_come_a_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_rows, "BATCH_BYTES", 1000)
    texts = [f"{number} " * 50 for number in range(ROWS)]
    assert [post.title for post in read(tmp_path, title=texts)] == [text.strip() for text in texts]


@pytest.mark.parametrize("rows_of_a_group", [7, 1000, 1300])
def test_row_groups_of_any_size_hold_lists_of_tags(tmp_path: Path, rows_of_a_group: int) -> None:
    tags = [[f"tag{number % 60}", f"tag{number % 7}"] for number in range(3000)]
    table = pa.table({"title": [f"title {number}" for number in range(3000)], "tags": tags})
    pq.write_table(table, tmp_path / "posts.parquet", row_group_size=rows_of_a_group)
    assert [post.tags for post in read_posts(tmp_path)] == [list(dict.fromkeys(own)) for own in tags]


def test_views_of_strings_are_strings(tmp_path: Path) -> None:
    views = pa.string_view()
    posts = read(
        tmp_path,
        title=pa.array(["sort a list"] * ROWS, views),
        tags=pa.array([["x"]] * ROWS, pa.list_(views)),
        owner=pa.array([{"name": "a"}] * ROWS, pa.struct({"name": views})),  # columns that are not needed
        image=pa.array([b"a"] * ROWS, pa.binary_view()),
        history=pa.array([["a", "b"]] * ROWS, pa.list_view(pa.string())),
    )
    assert [(post.title, post.tags) for post in posts] == [("sort a list", ["x"])] * ROWS


@pytest.mark.parametrize(
    ("ids", "problem"),
    [
        (pa.array([10**9] + [1] * (ROWS - 1), pa.date32()), "days="),
        (pa.array([2**62] + [1] * (ROWS - 1), pa.duration("s")), "too large"),
        (pa.array([2**61] + [1] * (ROWS - 1), pa.timestamp("us")), "malformed row: "),
        (pa.array([[1]] + [None] * (ROWS - 1)), "part of a list where text is expected"),
    ],
)
def test_a_value_out_of_range_is_a_malformed_row(tmp_path: Path, ids: pa.Array, problem: str) -> None:
    first, *others = read(tmp_path, id=ids)
    assert isinstance(first, Skipped) and first.reason == "malformed row" and problem in first.place
    assert len(others) == ROWS - 1 and all(isinstance(row, Post) for row in others)


def test_a_date_is_an_id(tmp_path: Path) -> None:
    assert read(tmp_path, id=[date(2020, 1, 2)] * ROWS)[0].id == "2020-01-02"


def test_a_time_zone_need_not_be_installed(tmp_path: Path) -> None:
    when = pa.array([0] * ROWS, pa.timestamp("s", tz="Nowhere/Land"))
    assert all(isinstance(row, Post) for row in read(tmp_path, when=when))
    assert read(tmp_path, id=when)[0].id == "1970-01-01 00:00:00"


@pytest.mark.parametrize(
    "column", [{"title": [{"a": "b"}] * ROWS}, {"title": [[["a"]]] * ROWS}, {"tags": [[["x"]]] * ROWS}]
)
def test_nested_values_are_malformed_rows(tmp_path: Path, column: dict[str, list]) -> None:
    assert {row.reason for row in read(tmp_path, **column)} == {"malformed row"}


def test_rows_are_numbered_without_gaps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_rows, "BATCH_ROWS", 7)
    assert [post.id for post in read(tmp_path)] == [f"posts.parquet:{number}" for number in range(1, ROWS + 1)]


@pytest.mark.parametrize("group", [3, 10, 25, 1000])
def test_a_file_in_parts_is_read_as_the_whole_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: int) -> None:
    monkeypatch.setattr(parquet_rows, "PART", 1000)
    monkeypatch.setattr(parquet_rows, "BATCH_ROWS", 7)
    rng = random.Random(0)
    ids = pa.array([1] * 60 + [10**9] + [1] * 39, pa.date32())
    titles = [" ".join(rng.choices(["read", "write", "a", "file", "of", "posts"], k=20)) for _ in range(100)]
    table = pa.table({"id": ids, "title": titles, "tags": [["x"], ["a b"]] * 50})
    path = tmp_path / "posts.parquet"
    pq.write_table(table, path, row_group_size=group, compression="none", use_dictionary=False)
    parts = list(parts_of(File(path)))
    assert len(parts) > 2 and (parts[0].start, parts[-1].end) == (0, 100)
    assert [part.start for part in parts[1:]] == [part.end for part in parts[:-1]]
    assert [row for part in parts for row in read_file(part)] == list(read_file(File(path)))


def test_a_file_that_cannot_be_read_in_parts_is_told_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "posts.parquet"
    path.write_bytes(b"PAR1" + bytes(parquet_rows.PART))
    assert list(parts_of(File(path))) == [File(path)]


def test_a_damaged_column_of_the_footer_is_an_error(tmp_path: Path) -> None:
    read(tmp_path)
    path, optional, required = tmp_path / "posts.parquet", b"\x15\x0c\x25\x02", b"\x15\x0c\x25\x00"
    path.write_bytes(path.read_bytes().replace(optional, required, 1))  # its histogram of levels is too long now
    assert list(parts_of(File(path))) == [File(path)]
    with pytest.raises(UserError, match=r"after row 0: not Parquet that can be read \(Definition level histogram"):
        list(read_posts(path))


def test_a_part_of_a_row_group_decodes_to_no_more_than_its_bytes_allow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_rows, "PART", 100)
    monkeypatch.setattr(parquet_rows, "ALWAYS_ALLOWED", 100)
    path = tmp_path / "posts.parquet"
    columns = {"title": repeated("a" * 10_000, 2000), "tags": pa.array([["x"]] * 2000)}
    many = pa.table({"title": [f"{number:x}" * 20 for number in range(2000)], "tags": pa.array([["x"]] * 2000)})
    with pq.ParquetWriter(path, many.schema, compression="none") as writer:
        writer.write_table(many)
        writer.write_table(pa.table(columns).cast(many.schema))
    first, *others, last = parts_of(File(path))
    assert list(read_file(first)) and others
    with pytest.raises(UserError, match="decodes to more than 100 times its size"):
        list(read_file(last))


def test_what_remains_behind_the_last_part_belongs_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Alone, a few bytes of texts that are repeated would look like a bomb."""
    monkeypatch.setattr(parquet_rows, "PART", 20_000)
    monkeypatch.setattr(parquet_rows, "ALWAYS_ALLOWED", 100)
    titles = [*(f"{number:x}" * 20 for number in range(2000)), *["deleted " * 20] * 5000]
    table = pa.table({"title": titles, "tags": [["x"]] * len(titles)})
    pq.write_table(table, tmp_path / "posts.parquet", row_group_size=1000, compression="none")
    parts = list(parts_of(File(tmp_path / "posts.parquet")))
    assert len(parts) > 1
    assert [post.title for part in parts for post in read_file(part)] == [title.strip() for title in titles]


def test_a_row_group_of_one_long_post_is_one_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_rows, "PART", 1000)
    texts = [" ".join(map(str, range(2000))), *map(str, range(3000))]
    rows = {"title": pa.array(texts), "tags": pa.array([["x"]] * len(texts))}
    with pq.ParquetWriter(tmp_path / "posts.parquet", pa.table(rows).schema, compression="none") as writer:
        writer.write_table(pa.table(rows).slice(0, 1))
        writer.write_table(pa.table(rows).slice(1))
    parts = list(parts_of(File(tmp_path / "posts.parquet")))
    assert (parts[0].start, parts[0].end) == (0, 1)
    assert all(part.start < (part.end or 0) for part in parts)
    assert [post.title for part in parts for post in read_file(part)] == texts


def test_texts_that_differ_are_read_without_their_dictionaries(tmp_path: Path) -> None:
    """Each batch would bring along all texts that stand before it in the row group."""
    titles = [f"title {number}" for number in range(5000)]
    path = tmp_path / "posts.parquet"
    pq.write_table(pa.table({"title": titles, "kind": ["question"] * 5000, "tags": [["x"]] * 5000}), path)
    with path.open("rb") as stream:
        batches = list(parquet_rows.ParquetRows(path, stream).batches([0], ["title", "kind", "tags"]))
    assert [text for batch in batches for text in batch["title"].to_pylist()] == titles
    assert all(batch["title"].type == pa.string() for batch in batches)
    assert all(len(column.dictionary) == 1 for batch in batches for column in (batch["kind"], batch["tags"].flatten()))


def test_few_rows_at_a_time_where_they_may_be_one_long_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_rows, "LONGEST_BYTES", 10_000)
    path = tmp_path / "posts.parquet"
    pq.write_table(pa.table({"title": ["a" * 4000, *map(str, range(200))]}), path)
    with path.open("rb") as stream:
        batches = list(parquet_rows.ParquetRows(path, stream).batches([0], ["title"]))
    assert max(map(len, batches)) == 2 and sum(map(len, batches)) == 201


def test_a_part_looks_at_its_own_row_groups_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_rows, "PART", 1000)
    path = tmp_path / "posts.parquet"
    pq.write_table(pa.table({"title": list(map(str, range(5000))), "tags": [["x"]] * 5000}), path, row_group_size=100)
    parts = list(parts_of(File(path)))
    seen: list[int] = []
    check = parquet_rows.check_metadata
    monkeypatch.setattr(
        parquet_rows, "check_metadata", lambda metadata, group, size: seen.append(group) or check(metadata, group, size)
    )
    [part] = parts[5:6]
    assert len(list(read_file(part))) < 1000
    own = range(part.start // 100, -(-(part.end or 0) // 100))
    assert set(seen) == {*range(10), *own}  # columns are chosen by the first 1,000 rows
