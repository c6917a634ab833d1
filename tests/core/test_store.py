"""store.py: CSR matrices on disk, read back by rows and in blocks."""

import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import save_csr
from scipy.sparse import csr_array, random_array, vstack

from tagstudy.core import corpus, store
from tagstudy.core.store import new_dense_matrix


@pytest.fixture
def rows() -> csr_array:
    return random_array((50, 20), density=0.2, format="csr", dtype=np.float32, rng=np.random.default_rng(0))


def test_batches_are_the_rows_in_the_order_asked_for(tmp_path: Path, rows: csr_array) -> None:
    with store.CsrWriter(tmp_path / "rows", 20) as writer:
        for part in (rows[:20], rows[20:21], rows[21:21], rows[21:]):
            writer.append_rows(part)
    matrix = store.CsrMatrix(tmp_path / "rows")
    assert len(matrix) == 50
    chosen = np.array([7, 0, 49, 7])
    indices, offsets, weights = matrix.batch(chosen)
    np.testing.assert_array_equal(
        csr_array((weights, indices, offsets), shape=(4, 20)).toarray(), rows.toarray()[chosen]
    )
    np.testing.assert_array_equal(matrix.take(chosen).toarray(), rows.toarray()[chosen])


def test_matrices_are_memory_mapped(tmp_path: Path, rows: csr_array) -> None:
    assert isinstance(save_csr(tmp_path / "rows", rows).data.base, np.memmap)


@pytest.mark.parametrize("entries", [1, 7, 1000])
def test_blocks_are_all_rows_in_order(
    tmp_path: Path, rows: csr_array, monkeypatch: pytest.MonkeyPatch, entries: int
) -> None:
    monkeypatch.setattr(store, "ENTRIES", entries)
    blocks = list(save_csr(tmp_path / "rows", rows).blocks())
    assert all(block.nnz <= entries or block.shape[0] == 1 for block in blocks)
    assert all(one.nnz + other.nnz > entries for one, other in pairwise(blocks)), "a block could hold more rows"
    np.testing.assert_array_equal(vstack(blocks).toarray(), rows.toarray())


def test_a_dense_matrix_has_its_place_on_the_disk_from_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sparse file would end the process that writes into it, once the disk is full."""
    reserved = []
    monkeypatch.setattr(os, "posix_fallocate", lambda _, start, length: reserved.append((start, length)))
    matrix = new_dense_matrix(tmp_path / "matrix", 1000, 100)
    assert matrix.shape == (1000, 100) and not matrix.any()
    assert reserved == [(0, (tmp_path / "matrix/matrix.npy").stat().st_size)]


def test_texts_that_are_long_come_in_small_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where those of most row groups are short."""
    monkeypatch.setattr(corpus, "BLOCK_BYTES", 1000)
    texts = [*(f"short {number}" for number in range(900)), *(f"long {number} " * 10 for number in range(100))]
    pq.write_table(pa.table({"body": texts}), tmp_path / "posts.parquet", row_group_size=100)
    batches = list(corpus.read_batches(tmp_path / "posts.parquet", ["body"]))
    assert [text for batch in batches for text in batch["body"].to_pylist()] == texts
    assert max(batch.nbytes for batch in batches) < 1500
