"""What share of `dvc repro` goes to anything but the stages' own work: Python's start, imports, hashing, DVC itself.

`python benchmarks/overhead.py`, on so_titles with 100 tags, in a fresh clone of this repository. A stage's own work is
what it tells in its last line, taken without its imports.
"""

import argparse
import re
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from dumps import DATA, ROOT, write_params

LAST_LINE = re.compile(r"^(\w+): .* \(([\d.]+) s\)$", re.MULTILINE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the corpora")
    source = parser.parse_args().data.resolve() / "so_titles"
    if not source.is_dir():
        sys.exit(f"{source}: no such folder; name the one that holds the corpora with --data")
    with TemporaryDirectory() as scratch:
        subprocess.run(["git", "clone", "--quiet", ROOT, scratch], check=True)
        write_params(Path(scratch), ingest={"source": str(source), "tags": 100, "min_tags": 1})
        start = time.perf_counter()
        done = subprocess.run(["dvc", "repro"], cwd=scratch, stdout=subprocess.PIPE, text=True, check=True)
        total = time.perf_counter() - start
    own = {stage: float(seconds) for stage, seconds in LAST_LINE.findall(done.stdout)}
    for stage, seconds in own.items():
        print(f"{stage:16} {seconds:6.1f} s")
    print(
        f"{'dvc repro':16} {total:6.1f} s, of which other than the stages' own work {1 - sum(own.values()) / total:.1%}"
    )


if __name__ == "__main__":
    main()
