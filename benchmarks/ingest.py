"""The whole ingest stage beside a bare lxml.iterparse over the same Posts.xml: seconds, and peak memory, by size.

`python benchmarks/ingest.py --data FOLDER --megabytes 100 2000`. The files are made from real posts, and removed.
"""

from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from dumps import ROOT, arguments, make_dump, measure, write_params

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
    print("    MB   bare s  ingest s  ratio  bare MB  ingest MB")
    for megabytes in options.megabytes:
        with TemporaryDirectory() as scratch:
            folder = Path(scratch)
            make_dump(folder / "Posts.xml", options.data, megabytes=megabytes)
            write_params(folder, ingest={"source": "Posts.xml", "tags": 50, "min_tags": 1})
            rounds = [
                (measure(folder, "-c", BARE, "Posts.xml"), measure(folder, ROOT / "src/ingest.py"))
                for _ in range(options.rounds)
            ]
        bare, ingest = (min(seconds for seconds, _ in runs) for runs in zip(*rounds, strict=True))
        bare_mb, ingest_mb = (max(peak for _, peak in runs) for runs in zip(*rounds, strict=True))
        ratio = median(ingest[0] / bare[0] for bare, ingest in rounds)
        print(f"{megabytes:6} {bare:8.1f} {ingest:9.1f} {ratio:6.2f} {bare_mb:8.0f} {ingest_mb:10.0f}", flush=True)


if __name__ == "__main__":
    main()
