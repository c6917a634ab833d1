"""Tags for new posts, by what `dvc repro` or `src/ship.py` has trained.

    python src/predict.py "How do I bind a click handler to rows added later?"
    python src/predict.py --file posts.csv --output tags.parquet
    python src/predict.py --serve
    python src/predict.py --export onnx
    python src/predict.py --model shipped "How do I sort a map?"

Of a study, each arm predicts with its first run, and so does their fusion.
"""

import argparse
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

import tagstudy.core.processor  # noqa: F401 - before numpy and torch

# isort: split
import pyarrow as pa
from tqdm import tqdm

from tagstudy.core.checksums import SUMS
from tagstudy.core.config import read_params
from tagstudy.core.corpus import Text
from tagstudy.core.errors import UserError, needs, user_errors
from tagstudy.core.paths import MODELS
from tagstudy.core.printing import json_line, print_visible, visible
from tagstudy.data.files import File, ReadOptions, described, distinct
from tagstudy.data.readers import Post, Skipped, as_post, endings, holds_posts, read_posts
from tagstudy.inference.models import SHIPPED, Scores
from tagstudy.inference.predictor import BATCH, Predictor
from tagstudy.inference.writers import WRITERS, schema_of
from tagstudy.predictions.decisions import Decision

SHOWN_TAGS = 5  # tags of a text, at least
PORT = 8000


def main() -> None:
    options = arguments()
    check_options(options)
    if options.export:
        from tagstudy.inference.onnx_export import export_onnx  # and with it what requirements-onnx.txt installs

        print_visible(export_onnx(open_predictor(options.model, "cpu"), export_folder(options.model)))
    elif options.serve:
        with needs("serve", "--serve"):
            from tagstudy.serving.server import listen, serve
        port = PORT if options.port is None else options.port
        with listen(port) as listening:  # fails before the models load if the port is in use
            serve(open_predictor(options.model), listening)
    elif options.file is not None:
        predict_file(options)
    else:
        predict_text(options)


def check_options(options: argparse.Namespace) -> None:
    if options.output and not options.file:
        raise UserError("--output is for the tags of a file's posts; name one with --file")
    if options.output and options.json:
        raise UserError("--json applies to printed output; the ending of --output sets the file's format")
    if options.format and options.file != "-":
        raise UserError("--format is for the posts of standard input, --file -; a file's name tells its format")
    if options.port is not None and not options.serve:
        raise UserError("--port is for --serve")
    if options.json and (options.serve or options.export):
        raise UserError("--json is for the tags of a text or of a file's posts")
    if options.arms and (options.export or options.serve or options.file or options.json):
        raise UserError("--arms is for the table of a text; files and JSON have both arms and their fusion")


def predict_text(options: argparse.Namespace) -> None:
    """Print the tags of a text, as a table or as JSON."""
    title, _, body = options.text.partition("\n")
    try:
        text = as_post({"title": title, "body": body}, "", None).text  # as that of a file
    except ValueError:
        raise UserError("the text is not UTF-8; convert it") from None
    if not any(text):
        raise UserError("the text is empty; give a post's title, or more")
    predictor = open_predictor(options.model)
    if not options.json:
        print_visible(side_by_side(predictor, text, predictor.systems if options.arms else (predictor.system,)))
        return
    known, explained = predictor.explain(text)
    by_name = {name: predictor.decisions[name].describe() | {"tags": tags} for name, tags in explained.items()}
    line = json_line({"text": options.text, "known_words": known} | by_name)
    standard_output().write(f"{line}\n".encode())


def export_folder(model: Path | None) -> Path:
    """data/onnx of a study; beside a folder of models, which src/ship.py may replace."""
    return Path("data/onnx") if model is None else model.resolve().with_name(f"{model.resolve().name}-onnx")


def open_predictor(model: Path | None, device: str | None = None) -> Predictor:
    """The study's, or that of a folder with models; ``device`` is by default the study's, or a GPU if there is one."""
    if model is None:
        return Predictor(device=device or read_params().train.device)
    if not any((model / name).exists() for name in (SHIPPED, SUMS, MODELS)):
        raise UserError(f"--model {model}: holds no models; name a folder that src/ship.py wrote, or a study's")
    return Predictor(model, device or "auto")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("text", nargs="?", help="a post: shows its tags and the words that are evidence for them")
    what.add_argument(
        "--file", help="posts in any format that ingest reads, with or without tags; - for standard input"
    )
    parser.add_argument("--model", type=Path, metavar="FOLDER", help="the models in a folder, as src/ship.py writes it")
    what.add_argument("--export", choices=["onnx"], help="write a folder that tags posts without this project")
    what.add_argument("--serve", action="store_true", help="answer HTTP on this machine, and show a page to try it")
    parser.add_argument("--port", type=int, help=f"the port of --serve ({PORT})")
    parser.add_argument("--output", type=Path, help=f"for the tags of a file's posts, ending in {', '.join(WRITERS)}")
    parser.add_argument("--arms", action="store_true", help="show both arms beside their fusion")
    parser.add_argument("--json", action="store_true", help="print JSON, a line for each post")
    parser.add_argument("--format", help="the format of standard input, as a file ending (csv)")
    return parser.parse_args()


def side_by_side(predictor: Predictor, text: Text, systems: tuple[str, ...]) -> str:
    """A table: all predicted tags of the systems, and at least SHOWN_TAGS, filled up with the fusion's next best."""
    known, tags = predictor.explain(text)
    if not known:
        return "no known words: none of them is in the vocabulary learned from train, so no tags are predicted"
    explained = {name: {row["tag"]: row for row in tags[name]} for name in systems}
    predicted = {tag for rows in explained.values() for tag, row in rows.items() if row["predicted"]}
    best = explained[predictor.system]
    first = [tag for tag in best if tag in predicted]
    first += [tag for tag in predictor.names if tag in predicted and tag not in first]
    others = [tag for tag in best if tag not in predicted][: max(0, SHOWN_TAGS - len(first))]
    table = [["", *(heading(name, predictor.decisions[name]) for name in explained)]]
    for tag in first + others:
        table.append([visible(tag), *(cell(rows.get(tag)) for rows in explained.values())])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ("   ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) for row in table)
    return "\n".join(line.rstrip() for line in lines)


def heading(name: str, decision: Decision) -> str:
    if decision.top is not None:
        return f"{name} (* the best {decision.top})"
    return f"{name} (* from {decision.threshold:.2f})" if decision.one_threshold else f"{name} (* from its threshold)"


def cell(row: dict[str, Any] | None) -> str:
    """A tag's probability, a star where it is predicted, and its evidence, by how much each word adds to the logit.

    Nothing where the tag is far from the best.
    """
    if row is None:
        return ""
    words = (f"{word['word']} {word['weight']:+.2f}" for word in row["words"])
    return f"{row['probability']:.2f}{'*' if row['predicted'] else ' '} {visible(', '.join(words))}"


def predict_file(options: argparse.Namespace) -> None:
    """Write the tags of all posts, some at a time; a file is there whole or not."""
    source, output, ending = options.file, options.output, options.format or "csv"
    if not source:
        raise UserError("--file: the name is empty; name a file of posts, or - for standard input")
    suffix = output.suffix.lower() if output else ".jsonl" if options.json else ".csv"
    if output:
        check_output(output, source)
    if source == "-":
        check_input(ending)
    predictor = open_predictor(options.model)
    schema = schema_of(predictor.systems)
    name = "standard input" if source == "-" else source
    read_options = ReadOptions(tagged=False, binding=False) if options.model else read_options_of_study()
    files = list[File]()
    read = skipped = unknown = 0
    with TemporaryDirectory(dir=output and output.parent, prefix=".predict-") as scratch:
        if source == "-":
            source = f"{scratch}/stdin.{ending}"
            with Path(source).open("wb") as file:
                shutil.copyfileobj(sys.stdin.buffer, file)
        half = Path(scratch) / "half"
        with (
            half.open("wb") if output else nullcontext(standard_output()) as out,
            WRITERS[suffix](out, schema) as write,
        ):
            records = read_posts(source, options=read_options, files=files)
            rows = iter(tqdm(records, desc="predict", unit=" posts", disable=None))
            while batch := next_rows(rows, source, name):
                posts = [row for row in batch if isinstance(row, Post)]
                read += len(posts)
                skipped += len(batch) - len(posts)
                if posts:
                    scores = predictor.scores([post.text for post in posts])
                    unknown += int((~scores[predictor.system].known).sum())
                    write(tags_of(predictor, posts, scores, schema))
            if not read:
                write(schema.empty_table())
        if output:
            half.replace(output)
    if read_options.columns or read_options.encoding:
        for alike in distinct(files):
            print_visible(f"predict: {described(alike)}", sys.stderr)
    tell_of_posts(name, read, unknown, skipped)


def tell_of_posts(name: str, read: int, unknown: int, skipped: int) -> None:
    """What a table of tags does not show."""
    if not read:
        print_visible(f"predict: {name} holds no posts", sys.stderr)
    if unknown:
        posts = "1 post has no known word and gets" if unknown == 1 else f"{unknown:,} posts have no known word and get"
        print_visible(f"predict: {posts} no tags", sys.stderr)
    if skipped:
        rows_are = "1 row is not a post and was" if skipped == 1 else f"{skipped:,} rows are not posts and were"
        print_visible(f"predict: {rows_are} skipped", sys.stderr)


def check_output(output: Path, source: str) -> None:
    if output.suffix.lower() not in WRITERS or not output.parent.is_dir() or output.is_dir():
        raise UserError(f"--output {output}: name a file in an existing folder, ending in {', '.join(WRITERS)}")
    if not os.access(output.parent, os.W_OK | os.X_OK):
        raise UserError(f"--output {output}: you may not write into this folder; name a file in another")
    if Path(source).exists() and any(at.exists() and at.samefile(source) for at in (output, output.parent)):
        raise UserError(f"--output {output}: this is the source or lies in its folder; name a file elsewhere")


def check_input(ending: str) -> None:
    """Of standard input."""
    name = f"posts.{ending}"
    if Path(name).name != name or not holds_posts(name):
        raise UserError(f"--format {ending}: no format of posts; a file of posts ends in {endings()}")
    if sys.stdin is None:
        raise UserError("--file -: standard input is closed; name a file")


def read_options_of_study() -> ReadOptions:
    """What params.yaml says of the posts that ingest read; new files may be of another layout."""
    settings = read_params().ingest
    columns = settings.columns.model_dump(exclude={"tags"}, exclude_none=True)
    return ReadOptions(tagged=False, columns=columns, encoding=settings.encoding, binding=False)


def next_rows(rows: Iterator[Post | Skipped], source: str, name: str) -> list[Post | Skipped]:
    """The next BATCH of them. An error names the source as the user does."""
    try:
        return list(islice(rows, BATCH))
    except UserError as problem:
        raise UserError(str(problem).replace(source, name)) from None


def tags_of(predictor: Predictor, posts: list[Post], by_system: dict[str, Scores], schema: pa.Schema) -> pa.Table:
    """A row for each post: its id, and of each system the predicted tags, the most probable first, with scores."""
    columns: dict[str, list] = {"id": [post.id for post in posts]}
    for name, scores in by_system.items():
        rows = predictor.predicted(scores, name)
        columns[f"{name}_tags"] = [[tag for tag, _ in row] for row in rows]
        columns[f"{name}_scores"] = [[probability for _, probability in row] for row in rows]
    return pa.table(columns, schema=schema)


def standard_output() -> BinaryIO:
    if sys.stdout is None:
        raise UserError("standard output is closed; name a file in --output")
    return sys.stdout.buffer


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # and scratch folders are removed
    with user_errors("predict"):
        try:
            main()
            if sys.stdout is not None:
                sys.stdout.flush()
        except BrokenPipeError:  # ends quietly where nobody reads on, as `| head` does
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(128 + signal.SIGPIPE)
