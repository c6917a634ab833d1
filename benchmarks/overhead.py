"""The fraction of `dvc repro` outside the stages' work: Python's start, imports, hashing, DVC itself.

`python benchmarks/overhead.py --data FOLDER` runs so_titles with 100 tags in a fresh clone of this repository. A stage
prints the seconds of its work in its last line; imports are not among them.
"""

import re
import subprocess
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from common import ROOT, arguments, write_params

LAST_LINE = re.compile(r"^(\w+): .* \(([\d.]+) s\)$", re.MULTILINE)


def main() -> None:
    source = arguments(__doc__).data / "so_titles"
    with TemporaryDirectory() as scratch:
        subprocess.run(["git", "clone", "--quiet", ROOT, scratch], check=True)
        write_params(Path(scratch), ingest={"source": str(source), "tags": 100, "min_tags": 1})
        start = time.perf_counter()
        done = subprocess.run(["dvc", "repro"], cwd=scratch, stdout=subprocess.PIPE, text=True, check=True)
        total = time.perf_counter() - start
    work = {stage: float(seconds) for stage, seconds in LAST_LINE.findall(done.stdout)}
    for stage, seconds in work.items():
        print(f"{stage:16} {seconds:6.1f} s")
    print(f"{'dvc repro':16} {total:6.1f} s, {1 - sum(work.values()) / total:.1%} of it outside the stages' work")


if __name__ == "__main__":
    main()
