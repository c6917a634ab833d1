"""A stage killed at any moment leaves its outputs whole or absent, and the next `dvc repro` gives the same bytes.

`make test-slow` runs these; they take some ten minutes and print how many kills were survived.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from conftest import DVC, ENVIRONMENT, OUTPUTS, call
from test_pipeline import dvc, written

pytestmark = pytest.mark.slow
KILLS = 20  # of each stage
# A stage that keeps a checkpoint after each epoch, however short.
STAGE = (
    "import runpy, sys; sys.path.insert(0, 'src'); from tagstudy.model import checkpoint; checkpoint.SECONDS = 0; "
    "sys.argv = [sys.argv[1]]; runpy.run_path(sys.argv[0], run_name='__main__')"
)


@pytest.fixture(scope="module")
def study(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kills") / "study"
    shutil.copytree(finished, folder)
    return folder


def outputs(study: Path, *folders: str) -> dict[str, bytes]:
    return {name: data for name, data in written(study).items() if name.startswith(folders) and is_stable(name)}


def is_stable(name: str) -> bool:
    """Seconds and the picture that shows them differ from run to run; what training keeps is no output.

    Neither is a scratch folder: one that a kill left lies there until its stage runs again, and does not come out of
    DVC's cache.
    """
    if name.startswith(("data/timings", "data/unfinished")) or name.endswith(("timings.json", "cost.png")):
        return False
    return "/." not in name


def scratch(study: Path) -> list[Path]:
    """Scratch folders that are left."""
    return [path for path in (*study.glob(".*-*"), *(study / "data").rglob(".*-*")) if path.is_dir()]


def start(command: list[str], study: Path) -> subprocess.Popen:
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(command, cwd=study, env=ENVIRONMENT, start_new_session=True, **quiet)


def kill(process: subprocess.Popen, after: float) -> bool:
    """Kill a process and its children; whether it was still running."""
    time.sleep(after)
    running = process.poll() is None
    if running:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return running


def duration(command: list[str], study: Path) -> float:
    begin = time.monotonic()
    assert start(command, study).wait() == 0
    return time.monotonic() - begin


@pytest.mark.parametrize("stage", OUTPUTS)
def test_a_killed_stage_leaves_its_outputs_whole_or_absent(study: Path, stage: str) -> None:
    before = outputs(study, "data", "metrics", "plots")
    own = {folder: outputs(study, folder + "/") for folder in OUTPUTS[stage]}
    command = [sys.executable, "-c", STAGE, f"src/{stage}.py"]
    seconds = duration(command, study)
    survived = absent = 0
    # The first half of a stage is Python's imports; most of the moments lie behind them.
    for after in seconds * np.random.default_rng(0).triangular(0.1, 1, 1.05, KILLS):
        survived += kill(start(command, study), after)
        for folder, whole in own.items():
            found = outputs(study, folder + "/")
            assert found in (whole, {}), f"{folder} is half written"
            absent += not found
    dvc(study, "repro", "--force", "--single-item", stage)
    assert outputs(study, "data", "metrics", "plots") == before
    assert not scratch(study)
    print(f"{stage}: {survived} kills in {seconds:.1f} s, outputs absent after {absent}, no byte lost")
    assert survived >= KILLS // 2


def test_a_killed_repro_is_taken_up(study: Path) -> None:
    before = outputs(study, "data", "metrics", "plots")
    command = [*DVC, "repro", "--force"]
    seconds = duration(command, study)
    survived = locks = 0
    for number, after in enumerate(np.random.default_rng(0).uniform(0, seconds, KILLS), start=1):
        survived += kill(start(command, study), after)
        said = call(*DVC, "status", cwd=study).stderr
        # DVC was killed while it wrote a file of its own; what to do then, the README says.
        if "Unable to read RWLock-file" in said:
            (study / ".dvc/tmp/rwlock").unlink()
            locks += 1
        elif "'./dvc.lock'" in said:
            assert call("git", "restore", "dvc.lock", cwd=study).returncode == 0
            locks += 1
        if number % 5 == 0:
            dvc(study, "repro")
            assert outputs(study, "data", "metrics", "plots") == before
    dvc(study, "repro", "--force")
    assert not scratch(study)
    print(f"dvc repro: {survived} kills in {seconds:.1f} s, {locks} of them in a file of DVC's own, no byte lost")


def test_an_interrupt_is_one_line_and_loses_nothing(study: Path) -> None:
    before = outputs(study, "data", "metrics", "plots")
    command = [sys.executable, "-u", "src/train_sparse.py"]
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # also where what runs the tests ignores it
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, cwd=study, stdout=pipe, stderr=pipe, text=True, preexec_fn=heard)
    assert process.stdout
    assert any("parameters" in line for line in process.stdout)  # the line before training begins
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 1
    assert said.splitlines() == ["train_sparse: interrupted; run `dvc repro` again"]
    assert outputs(study, "data", "metrics", "plots") == before


def test_two_repros_at_once_do_each_other_no_harm(study: Path) -> None:
    before = outputs(study, "data", "metrics", "plots")
    both = [start([*DVC, "repro", "--force"], study) for _ in range(2)]
    ended = [process.wait() for process in both]
    assert 0 in ended  # the other one may be told to wait
    dvc(study, "repro")
    assert outputs(study, "data", "metrics", "plots") == before
    assert "up to date" in call(*DVC, "repro", cwd=study).stdout
