"""Reads a source into what merging and splitting need; the texts stay on disk. Processes share its parts.

The parts are merged in the order of the source: how many processes read them changes nothing.
"""

import shutil
from array import array
from collections import Counter
from contextlib import closing
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from scipy.sparse import csr_array
from tqdm import tqdm

from tagstudy.core.config import Compute, Ingest
from tagstudy.core.errors import UserError
from tagstudy.core.fingerprint import LIBRARY, fingerprint
from tagstudy.core.shards import map_in_order
from tagstudy.data.files import File, ReadOptions
from tagstudy.data.parts import read_part, write_part
from tagstudy.data.readers import files_of, parts_of

CODE = [LIBRARY / name for name in ("core", "data")]


class Gathered(NamedTuple):
    texts: list[Path]  # Parquet files with the columns of parts.TEXT_SCHEMA
    keys: np.ndarray  # [posts] uint64
    source_split: np.ndarray  # [posts] int8
    labels: csr_array  # [posts, tags] 0 or 1
    tags: list[str]
    skipped: Counter[str]
    files: list[File]  # that were read


def gather(settings: Ingest, folder: Path, compute: Compute) -> Gathered:
    """Read the source into this folder, where the texts stay. Parts that an earlier call has left are used.

    The folder is ingest's own: parts that were read with other code or options are removed.

    Raises :class:`UserError` for a source without posts, for more malformed rows than ``max_malformed``, and, where
    the source is to name the splits, for a post whose split is unknown.
    """
    keys, source_split, indices, lengths = array("Q"), array("b"), array("i"), array("i")
    tags: dict[str, int] = {}
    skipped: Counter[str] = Counter()
    files: list[File] = []
    texts: list[Path] = []
    first_malformed = ""
    options = ReadOptions(
        columns=settings.columns.model_dump(exclude_none=True),
        tag_separator=settings.tag_separator,
        encoding=settings.encoding,
    )
    versions = [version(package) for package in ("charset-normalizer", "ijson", "lxml", "pyarrow")]
    read_by = folder / fingerprint(options, settings.split, versions, code=CODE)
    read_by.mkdir(parents=True, exist_ok=True)
    for other in set(folder.iterdir()) - {read_by}:
        shutil.rmtree(other)
    pa.array([""])  # which imports pandas: once here, and not in each process
    sources = (part for file in files_of(settings.source, options) for part in parts_of(file))
    with closing(map_in_order(partial(write_part, settings, read_by), sources, compute)) as parts:
        for path in tqdm(parts, desc="ingest", unit=" parts", disable=None):
            part = read_part(path)
            texts.append(part.posts)
            keys.frombytes(part.keys.tobytes())
            source_split.frombytes(part.splits.tobytes())
            lengths.frombytes(part.lengths.tobytes())
            numbers = np.array([tags.setdefault(tag, len(tags)) for tag in part.tags], np.int32)
            indices.frombytes(numbers[part.indices].tobytes())
            skipped += part.skipped
            first_malformed = first_malformed or part.first_malformed
            if files and files[-1].path == part.file.path:
                files[-1].add(part.file)
            else:
                files.append(part.file)
    check_rows(settings, len(keys), skipped, first_malformed)
    columns = np.frombuffer(indices, np.int32)  # a view, not a copy
    indptr = np.concatenate([[0], np.cumsum(np.frombuffer(lengths, np.int32), dtype=np.int64)])
    labels = csr_array((np.ones(len(columns), np.int8), columns, indptr), shape=(len(keys), len(tags)))
    source_splits = np.frombuffer(source_split, np.int8)
    return Gathered(texts, np.frombuffer(keys, np.uint64), source_splits, labels, list(tags), skipped, files)


def check_rows(settings: Ingest, posts: int, skipped: Counter[str], first_malformed: str) -> None:
    """Raise :class:`UserError` where there is no post, or more malformed rows than ``max_malformed``."""
    if not posts:
        counts = ", ".join(f"{count:,} × {reason}" for reason, count in sorted(skipped.items())) or "no rows"
        raise UserError(
            f"{first_malformed or settings.source}; the source holds no post ({counts}); name one with posts"
        )
    if skipped["malformed row"] > settings.max_malformed * (posts + skipped.total()):
        raise UserError(
            f"{first_malformed}; {skipped['malformed row']:,} rows are malformed, more than ingest.max_malformed "
            "allows; repair the file or raise it"
        )
