"""Tags for new posts, by what `dvc repro` has trained.

    python src/predict.py "How do I bind a click handler to rows added later?"
    python src/predict.py --file posts.csv --output tags.parquet
    python src/predict.py --export onnx

Each arm speaks by its first run, and so does their fusion, at its threshold in metrics/prediction.json.
"""

import argparse
import json
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from tagstudy.core.errors import UserError, user_errors
from tagstudy.data.readers import Post, Skipped, as_post, endings, holds_posts, read_posts
from tagstudy.evaluation.tables import escape_cells
from tagstudy.inference.predictor import SYSTEMS, Study

BATCH = 256  # posts at a time
SHOWN = 5  # tags of a text, at least
PARTS = {"tags": pa.list_(pa.string()), "scores": pa.list_(pa.float64())}  # the tags that are given; probabilities
SCHEMA = pa.schema(
    [("id", pa.string()), *((f"{name}_{part}", kind) for name in SYSTEMS for part, kind in PARTS.items())]
)


def main() -> None:
    given = arguments()
    if given.output and not given.file:
        raise UserError("--output is for the tags of a file's posts; name one with --file")
    if given.output and given.json:
        raise UserError("--json is for what is printed; what --output writes, its ending says")
    if given.export:
        from tagstudy.inference.onnx_export import export_onnx  # and with it what requirements-onnx.txt installs

        for name, arm in Study().arms.items():
            print(export_onnx(name, arm))
    elif given.file:
        predict_file(given.file, given.output, given.format, ".jsonl" if given.json else ".csv")
    else:
        title, _, body = given.text.partition("\n")
        text = as_post({"title": title, "body": body}, "", None).text  # as that of a file
        if not text:
            raise UserError("the text is empty; give a post's title, or more")
        study = Study()
        if given.json:
            told = study.explain(text).items()
            by_name = {name: {"threshold": study.thresholds[name], "tags": tags} for name, tags in told}
            print(json_line({"text": given.text} | by_name))
        else:
            print(side_by_side(study, text))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("text", nargs="?", help="a post: shows its tags and the words that speak for them")
    what.add_argument(
        "--file", help="posts in any format that ingest reads, with or without tags; - for standard input"
    )
    what.add_argument("--export", choices=["onnx"], help="write each arm to data/models as ONNX")
    parser.add_argument("--output", type=Path, help=f"for the tags of a file's posts, ending in {', '.join(WRITERS)}")
    parser.add_argument("--json", action="store_true", help="print JSON, a line for each post")
    parser.add_argument("--format", default="csv", help="what ending standard input would have as a file (csv)")
    return parser.parse_args()


def side_by_side(study: Study, text: str) -> str:
    """A table: the tags that an arm or the fusion gives, filled up to SHOWN by the fusion's next ones."""
    told = {name: {row["tag"]: row for row in rows} for name, rows in study.explain(text).items()}
    given = [tag for tag in told["fusion"] if any(rows[tag]["given"] for rows in told.values())]
    others = [tag for tag in told["fusion"] if tag not in given][: max(0, SHOWN - len(given))]
    table = [["", *(f"{name} (* from {study.thresholds[name]:.2f})" for name in told)]]
    for tag in given + others:
        rows = [own[tag] for own in told.values()]
        cells = (f"{row['probability']:.2f}{'*' if row['given'] else ' '} {', '.join(row['words'])}" for row in rows)
        table.append([tag, *cells])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in table)
    return "\n".join(line.rstrip() for line in lines)


def predict_file(source: str, output: Path | None, format: str, default: str) -> None:
    """Write the tags of all posts, some at a time; a file is there whole or not."""
    suffix = output.suffix.lower() if output else default
    if suffix not in WRITERS or (output and not output.parent.is_dir()):
        raise UserError(f"--output {output}: name a file in a folder that is there, ending in {', '.join(WRITERS)}")
    if output and Path(source).exists() and any(at.exists() and at.samefile(source) for at in (output, output.parent)):
        raise UserError(f"--output {output}: there are the posts; name a file elsewhere")
    if source == "-" and not holds_posts(f"posts.{format}"):
        raise UserError(f"--format {format}: no format of posts; a file of posts ends in {endings()}")
    study = Study()
    given = "standard input" if source == "-" else source
    found = skipped = 0
    with TemporaryDirectory(dir=output and output.parent, prefix=".predict-") as scratch:
        if source == "-":
            source = f"{scratch}/stdin.{format}"
            with Path(source).open("wb") as file:
                shutil.copyfileobj(sys.stdin.buffer, file)
        half = Path(scratch) / "half"
        with half.open("wb") if output else nullcontext(sys.stdout.buffer) as out, WRITERS[suffix](out) as write:
            rows = iter(tqdm(read_posts(source, tagged=False), desc="predict", unit=" posts", disable=None))
            while batch := next_rows(rows, source, given):
                posts = [row for row in batch if isinstance(row, Post)]
                found += len(posts)
                skipped += len(batch) - len(posts)
                if posts:
                    write(tags_of(study, posts))
            if not found:
                write(SCHEMA.empty_table())
        if output:
            half.replace(output)
    if not found:
        print(f"predict: {given} holds no posts", file=sys.stderr)
    if skipped:
        told = "1 row is no post, and has" if skipped == 1 else f"{skipped:,} rows are no posts, and have"
        print(f"predict: {told} no line", file=sys.stderr)


def next_rows(rows: Iterator[Post | Skipped], source: str, given: str) -> list[Post | Skipped]:
    """The next BATCH of them. What is wrong with the source is told of what was given."""
    try:
        return list(islice(rows, BATCH))
    except UserError as problem:
        raise UserError(str(problem).replace(source, given)) from None


def tags_of(study: Study, posts: list[Post]) -> pa.Table:
    """A row for each post: its id, and of each speaker the tags that it gives, the most probable first, with scores."""
    columns: dict[str, list] = {"id": [post.id for post in posts]}
    for name, answer in study.answers([post.text for post in posts]).items():
        tags, scores = columns[f"{name}_tags"], columns[f"{name}_scores"] = [], []
        for row in answer.probabilities:
            given = np.flatnonzero(row >= study.thresholds[name])
            given = given[np.argsort(-row[given], kind="stable")]
            tags.append([study.tags[tag] for tag in given])
            scores.append(row[given].astype(float).round(4))
    return pa.table(columns, schema=SCHEMA)


@contextmanager
def csv_writer(file: BinaryIO) -> Iterator[Callable[[pa.Table], None]]:
    """Lists stand as JSON in their cells."""
    header = True

    def write(table: pa.Table) -> None:
        nonlocal header
        rows = (
            [json_line(cell) if isinstance(cell, list) else cell for cell in row.values()] for row in table.to_pylist()
        )
        frame = pd.DataFrame(rows, columns=SCHEMA.names)
        file.write(escape_cells(frame).to_csv(index=False, header=header, lineterminator="\n").encode())
        header = False

    yield write


@contextmanager
def json_writer(file: BinaryIO) -> Iterator[Callable[[pa.Table], None]]:
    yield lambda table: file.writelines(f"{json_line(row)}\n".encode() for row in table.to_pylist())


@contextmanager
def parquet_writer(file: BinaryIO) -> Iterator[Callable[[pa.Table], None]]:
    with pq.ParquetWriter(file, SCHEMA) as writer:
        yield writer.write_table


def json_line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


WRITERS = {".csv": csv_writer, ".jsonl": json_writer, ".parquet": parquet_writer}

if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # ends quietly where nobody reads on, as `| head` does
    with user_errors("predict"):
        main()
