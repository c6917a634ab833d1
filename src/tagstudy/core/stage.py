"""How a stage runs: the lines it starts and ends with, and no arguments but --help."""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tagstudy.core.errors import user_errors


def run(stage: Callable[[], str]) -> None:
    """Run a stage; print what it does, which its module says first, and what it made and how long that took."""
    about = str(sys.modules[stage.__module__].__doc__)
    # No arguments but --help: what varies stands in params.yaml.
    argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    name = Path(sys.argv[0]).stem
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # no line waits, in a pipe neither
    print(f"{about.splitlines()[0].removeprefix('Stage ').rstrip('.')} ...")
    start = time.perf_counter()
    with user_errors(name, again="run `dvc repro` again"):
        made = stage()
    print(f"{name}: {made} ({time.perf_counter() - start:.1f} s)")
