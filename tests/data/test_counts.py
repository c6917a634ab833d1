"""counts.py: words of all posts are counted by chunks as one by one; shards and processes change nothing."""

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagstudy.core.config import Compute
from tagstudy.core.corpus import Text
from tagstudy.core.store import CsrMatrix
from tagstudy.data import counts
from tagstudy.data.counts import count_words, read_terms, write_counts
from tagstudy.data.text import token_sequences

# What patterns, normal forms and cases depend on beside it.
NEIGHBOURS = (
    "aZ1_$.+#)] \n\t\0<=',-\u0338\u0301\u212b\u1f71\u0374ΣİßДé日本हि\u200dาไ\u3099か한\u1112\u1161❤\ufe0f👩\u00a0\u2003"
)
TEXT = st.text(st.sampled_from(NEIGHBOURS) | st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ["asp.net", "Node.js", "c++", "C#", "$.ajax", ".NET", "f(x).io", "a[0].net"]
)
POSTS = st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=4)


def table(posts: list[tuple[str, str]]) -> pa.Table:
    titles, bodies = zip(*posts, strict=True)
    return pa.table({"title": pa.array(titles, pa.string()), "body": pa.array(bodies, pa.string())})


def counted(title: str, body: str) -> Counter[str]:
    """What is counted of a post, said another way."""
    return Counter(token for tokens in token_sequences(Text(title, body)) for token in tokens)


@given(POSTS)
def test_words_are_counted_as_those_of_each_post_alone(posts: list[tuple[str, str]]) -> None:
    rows, vocabulary = count_words(table(posts))
    terms = vocabulary.to_pylist()
    for row, (title, body) in zip(rows.toarray(), posts, strict=True):
        found = {terms[column]: row[column] for column in np.flatnonzero(row)}
        assert found == counted(title, body)


@pytest.mark.parametrize("text", ["ΟΔΟΣ'Α", "ΟΔΟΣ:Α ΟΔΟΣ", "Σ`Σ^Σ", "é ΑΣ'"])
def test_a_sigma_is_final_or_not_wherever_it_is_counted(text: str) -> None:
    rows, vocabulary = count_words(table([(text, "")]))
    assert dict(zip(vocabulary.to_pylist(), rows.toarray()[0], strict=True)) == counted(text, "")


@pytest.mark.parametrize("max_ngram", [1, 2])
def test_shards_and_processes_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, max_ngram: int) -> None:
    monkeypatch.setattr(counts, "SHARD", 1)
    monkeypatch.setattr(counts, "WAITING", 60)  # some shards wait for others, some do not
    posts = [(f"word{number} Zebra", "a body a" * (number % 3)) for number in range(50)] + [("?", "")]
    written = []
    for place, (size, workers) in enumerate([(100, 1), (7, 1), (7, 2), (4, 3)]):
        folder = tmp_path / str(place)
        folder.mkdir()
        pq.write_table(table(posts), folder / "posts.parquet", row_group_size=size)
        write_counts(folder / "counts", folder / "posts.parquet", Compute(workers=workers), max_ngram)
        (folder / "posts.parquet").unlink()
        written.append({path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()})
    assert all(files == written[0] for files in written)
    terms, matrix = read_terms(tmp_path / "0/counts").to_pylist(), CsrMatrix(tmp_path / "0/counts/matrix")
    assert terms == sorted(terms) and matrix.shape == (len(posts), len(terms))
    assert all((np.diff(matrix.batch(np.array([row]))[0]) > 0).all() for row in range(len(posts)))
    if max_ngram == 1:
        dense = matrix.take(np.arange(len(posts))).toarray()
        assert [{terms[column]: row[column] for column in np.flatnonzero(row)} for row in dense] == [
            counted(*post) for post in posts
        ]
