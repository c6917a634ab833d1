"""The ingest stage compared with a bare lxml.iterparse over the same Posts.xml: seconds and peak memory, by size.

`python benchmarks/ingest_speed.py --data FOLDER --megabytes 100 2000`. The files are made from real posts, and removed.
CPU seconds are those of all processes; on a shared machine they are more reliable than wall-clock seconds.
"""

from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from common import ROOT, Usage, arguments, make_dump, measure, write_params

BARE = """
import sys
from lxml import etree
for _, row in etree.iterparse(sys.argv[1], tag="row"):
    row.clear()
    while row.getprevious() is not None:
        del row.getparent()[0]
"""


def main() -> None:
    options = arguments(
        __doc__,
        megabytes={"type": int, "nargs": "+", "default": [100, 2000], "help": "sizes of the files"},
        rounds={"type": int, "default": 3, "help": "how often both run, in turn; the ratio is a median"},
    )
    print("    MB   bare s  ingest s  ratio  bare CPU s  ingest CPU s  ratio  bare MB  ingest MB")
    for megabytes in options.megabytes:
        with TemporaryDirectory() as scratch:
            folder = Path(scratch)
            make_dump(folder / "Posts.xml", options.data, megabytes=megabytes)
            write_params(folder, ingest={"source": "Posts.xml", "tags": 50, "min_tags": 1})
            rounds = [
                (measure(folder, "-c", BARE, "Posts.xml"), measure(folder, ROOT / "src/ingest.py"))
                for _ in range(options.rounds)
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
