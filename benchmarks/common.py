"""What the benchmarks share: arguments, generated dumps of any size, a command's seconds and peak memory, tables."""

import argparse
import csv
import io
import itertools
import random
import re
import resource
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml

from tagstudy.data.readers import Post, read_posts

ROOT = Path(__file__).parents[1]
ROW_GROUP = 2**17  # rows
SENTENCE = re.compile(r"(?<=[.?!>])\s+")


def arguments(description: str | None, **options: dict[str, Any]) -> argparse.Namespace:
    """Parse the command line: --data, the folder of the corpora, and ``options``. Exits if there is no such folder."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the corpora")
    for name, option in options.items():
        parser.add_argument(f"--{name.replace('_', '-')}", **option)
    parsed = parser.parse_args()
    parsed.data = parsed.data.resolve()
    if not parsed.data.is_dir():
        sys.exit(f"{parsed.data}: no such folder; name the one that holds the corpora with --data")
    return parsed


def make_dump(path: Path, data: Path, *, posts: int | None = None, megabytes: int | None = None, tags: int = 1) -> None:
    """Write a Posts.xml of so many questions, or of that size, from the real ones of crypto in the folder ``data``.

    Each has the tags and the length of a real one, sentences drawn from all of them, and one or two answers. Where more
    than the real ``tags`` are asked for, each is divided into as many as that takes. The same bytes every time.
    """
    archive = data / "stack_exchange/crypto.csv.zip"
    if not archive.is_file():
        sys.exit(f"{archive}: no such file; name the folder of the corpora with --data")
    with zipfile.ZipFile(archive) as files, files.open("crypto.csv") as file:
        real = list(csv.DictReader(io.TextIOWrapper(file, encoding="utf-8")))
    kinds = {tag for post in real for tag in post["tags"].split()}
    rows = questions(real, -(-tags // len(kinds)))
    with path.open("w", encoding="utf-8") as out:
        out.write('<?xml version="1.0" encoding="utf-8"?>\n<posts>\n')
        written = 0
        while out.tell() < megabytes * 1e6 if megabytes else written < (posts or 0):
            out.writelines(next(rows) for _ in range(min(1_000, posts - written) if posts else 1_000))
            written += 1_000
        out.write("</posts>\n")


def questions(real: list[dict[str, str]], divided: int) -> Iterator[str]:
    """Rows of a dump, a question and its answers at a time, without end; a tag is divided into so many."""
    draw = random.Random(0)
    bodies = [[escape(sentence) for sentence in SENTENCE.split(post["content"])] for post in real]
    sentences = [sentence for body in bodies for sentence in body]
    titles = [escape(post["title"]) for post in real]
    tags = [post["tags"].split() for post in real]

    def row(number: int, kind: int, length: int, more: str) -> str:
        body = "&#xA;".join(draw.choices(sentences, k=length))
        return (
            f'  <row Id="{number}" PostTypeId="{kind}" CreationDate="2018-03-12T17:00:45.567" Score="5" Body="{body}" '
            f'OwnerUserId="7" LastActivityDate="2018-03-13T02:55:09.213" {more} CommentCount="2" />\n'
        )

    for number in itertools.count(1, 3):
        like = draw.randrange(len(real))
        title = f"{draw.choice(titles)} {number}"
        names = [f"{tag}-{part}" if (part := draw.randrange(divided)) else tag for tag in tags[like]]
        names_xml = escape(f"<{'><'.join(names)}>")
        yield row(
            number, 1, len(bodies[like]), f'ViewCount="99" Title="{title}" Tags="{names_xml}" AnswerCount="1"'
        ) + (
            "".join(
                row(number + answer, 2, len(bodies[like]), f'ParentId="{number}"')
                for answer in range(1, 2 + number % 2)
            )
        )


def make_titles(path: Path, data: Path, posts: int, tags: int) -> None:
    """Write a Parquet file of so many titles, from the real ones of so_titles in the folder ``data``.

    A title is the first half of a real one, whose tags it has, and the second half of another; one in four ends with a
    rare word. Where more than the real ``tags`` are asked for, each is divided into as many as that takes. The same
    titles every time.
    """
    real = [post for post in read_posts(data / "so_titles") if isinstance(post, Post)]
    words = [post.title.split() for post in real]
    heads, tails = (
        pa.array(" ".join(part) for part in parts)
        for parts in ([own[: len(own) // 2] for own in words], [own[len(own) // 2 :] for own in words])
    )
    names = sorted({tag for post in real for tag in post.tags})
    divided = -(-tags // len(names))
    parts = pa.array(f"{name}-{part}" for name in names for part in range(divided))
    number = {name: place * divided for place, name in enumerate(names)}
    of_real = [np.array([number[tag] for tag in post.tags]) for post in real]
    draw = np.random.default_rng(0)
    schema = pa.schema({"title": pa.string(), "tags": pa.list_(pa.string())})
    with pq.ParquetWriter(path, schema, compression="zstd") as file:
        for start in range(0, posts, ROW_GROUP):
            size = min(ROW_GROUP, posts - start)
            chosen, other = draw.integers(len(real), size=(2, size))
            rare = np.where(draw.random(size) < 0.25, draw.pareto(0.2, size) % 1e9, 0).astype(np.int64)
            ends = pa.array(f"name{word}" if word else "" for word in rare.tolist())
            title = pc.binary_join_element_wise(heads.take(chosen), tails.take(other), ends, " ")
            own = [of_real[place] for place in chosen]
            kinds = np.concatenate(own)
            offsets = np.cumsum([0, *map(len, own)]).astype(np.int32)
            drawn = parts.take(pa.array(kinds + draw.integers(divided, size=len(kinds))))
            file.write_table(pa.table([title, pa.ListArray.from_arrays(offsets, drawn)], schema=schema))


def write_params(folder: Path, **changes: dict) -> None:
    """The study's params.yaml in another folder, with some keys of its sections changed."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    for section, values in changes.items():
        params[section].update(values)
    (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")


class Usage(NamedTuple):
    """What a program took, with its processes."""

    seconds: float  # by the clock
    cpu_seconds: float
    peak_mb: float


def measure(folder: Path, *command: str | Path) -> Usage:
    """Run a Python program in ``folder``; what it took.

    Memory is looked at twice a second. A page that several processes share counts once (PSS); pages of files that
    are read through memory count too, while they are in memory.
    """
    start, cpu_before = time.perf_counter(), cpu_seconds_of_children()
    process = psutil.Popen([sys.executable, *map(str, command)], cwd=folder, stdout=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        peak = max(peak, sum(map(proportional_memory, [process, *children_of(process)])))
        time.sleep(0.5)
    if process.returncode:
        sys.exit(f"{' '.join(map(str, command))} failed")
    return Usage(time.perf_counter() - start, cpu_seconds_of_children() - cpu_before, peak / 2**20)


def cpu_seconds_of_children() -> float:
    """Of all programs that have ended, and of theirs."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def children_of(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def proportional_memory(process: psutil.Process) -> int:
    """Bytes."""
    try:
        return process.memory_full_info().pss
    except (psutil.NoSuchProcess, psutil.ZombieProcess, psutil.AccessDenied):  # it has just ended
        return 0


def update(path: Path, rows: pd.DataFrame, order: dict[str, list]) -> None:
    """Write rows into a table, in place of those with the same keys; ``order`` has the keys and the order of each."""
    keys = list(order)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        old = pd.read_csv(path, dtype={"commit": str})  # it may begin with a 0
        old = old.reindex(columns=rows.columns)  # an earlier version may have had others
        rows = pd.concat([old[~old.set_index(keys).index.isin(rows.set_index(keys).index)], rows])
    rows = rows.sort_values(keys, key=lambda names: names.map(order[names.name].index), kind="stable")
    rows[[*keys, *rows.columns.drop(keys)]].to_csv(path, index=False, lineterminator="\n")
