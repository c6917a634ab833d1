"""How a stage runs: it prints what it does and what it has made, and takes no arguments but --help."""

import argparse
import os
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from tagstudy.core.errors import user_errors
from tagstudy.core.printing import print_visible
from tagstudy.core.processes import follow_launcher


def run(stage: Callable[[], str], within: AbstractContextManager = nullcontext()) -> None:  # noqa: B008 - it has no state
    """Run a stage. Print the first line of its module's docstring, and at the end what it returns and its seconds.

    ``within`` is a context for all of it.
    """
    docstring = str(sys.modules[stage.__module__].__doc__)
    # No arguments but --help: params.yaml holds all that varies.
    argparse.ArgumentParser(description=docstring, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    name = Path(sys.argv[0]).stem
    if "DVC_STAGE" in os.environ:
        follow_launcher()
    with user_errors(name, again="run `dvc repro` again"), within:
        print_visible(f"{docstring.splitlines()[0].removeprefix('Stage ').rstrip('.')} ...")
        start = time.perf_counter()
        print_visible(f"{name}: {stage()} ({time.perf_counter() - start:.1f} s)")
