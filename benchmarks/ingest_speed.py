"""The ingest stage compared with a bare parse of its Posts.xml by as many processes: seconds, peak memory, by size.

`python benchmarks/ingest_speed.py --data FOLDER --megabytes 100 2000`. The files are made from real posts, and removed.
The bare parse is lxml's: each process parses its share of the file and keeps nothing. CPU seconds are those of all
processes; on a shared machine they are more reliable than wall-clock seconds.
"""

from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from common import ROOT, Usage, arguments, make_dump, measure, write_params
from tagstudy.core.processes import available_cores

BARE = """
import os, sys
from itertools import pairwise
from multiprocessing import Process

from lxml import etree

def parse(path, start, end):
    parser = etree.XMLPullParser(tag="row")
    parser.feed(b"<posts>")
    with open(path, "rb") as file:
        file.seek(start)
        while start < end:
            piece = file.read(min(2**16, end - start))
            start += len(piece)
            parser.feed(piece)
            for _, row in parser.read_events():
                row.clear()
                while row.getprevious() is not None:
                    del row.getparent()[0]

def next_row(path, start):
    with open(path, "rb") as file:
        file.seek(start)
        return start + file.read(2**20).index(b"<row ")

path, processes = sys.argv[1], int(sys.argv[2])
size = os.path.getsize(path)
bounds = [next_row(path, size * part // processes) for part in range(processes)] + [size]
started = [Process(target=parse, args=(path, *bound)) for bound in pairwise(bounds)]
for process in started:
    process.start()
for process in started:
    process.join()
sys.exit(any(process.exitcode for process in started))
"""


def main() -> None:
    options = arguments(
        __doc__,
        megabytes={"type": int, "nargs": "+", "default": [100, 2000], "help": "sizes of the files"},
        rounds={"type": int, "default": 3, "help": "how often both run, in turn; the ratio is a median"},
        workers={"type": int, "default": available_cores(), "help": "processes of each"},
    )
    print("    MB   bare s  ingest s  ratio  bare CPU s  ingest CPU s  ratio  bare MB  ingest MB")
    for megabytes in options.megabytes:
        with TemporaryDirectory() as scratch:
            folder = Path(scratch)
            make_dump(folder / "Posts.xml", options.data, megabytes=megabytes)
            source = {"source": "Posts.xml", "tags": 50, "min_tags": 1}
            write_params(folder, ingest=source, compute={"workers": options.workers})
            bare_command = ("-c", BARE, "Posts.xml", str(options.workers))
            rounds = [
                (measure(folder, *bare_command), measure(folder, ROOT / "src/ingest.py")) for _ in range(options.rounds)
            ]
        bare, ingest = (Usage(*map(min, zip(*runs, strict=True))) for runs in zip(*rounds, strict=True))
        seconds, cpu = (median(ingest[kind] / bare[kind] for bare, ingest in rounds) for kind in (0, 1))
        peaks = [max(run.peak_mb for run in runs) for runs in zip(*rounds, strict=True)]
        print(
            f"{megabytes:6} {bare.seconds:8.1f} {ingest.seconds:9.1f} {seconds:6.2f} {bare.cpu_seconds:11.1f} "
            f"{ingest.cpu_seconds:13.1f} {cpu:6.2f} {peaks[0]:8.0f} {peaks[1]:10.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
