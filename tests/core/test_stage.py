"""stage.py: outputs are whole or absent, what the user can mend is one line, and a stage says what it does and made."""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from conftest import ENVIRONMENT, OUTPUTS, ROOT, call

from tagstudy.core.errors import UserError, explain
from tagstudy.core.files import atomic_folder
from tagstudy.core.stage import run

# A stage that ends before anything would be flushed by itself.
ENDS_EARLY = f"""'Stage count: count the posts.'
import os, sys
sys.path.append({str(ROOT / "src")!r})
from tagstudy.core.stage import run

def main():
    print("half of them")
    os._exit(9)

run(main)
"""

WAITS = ENDS_EARLY.replace("os._exit(9)", "import time; time.sleep(600)")


def test_a_folder_takes_the_place_of_the_earlier_one(tmp_path: Path) -> None:
    for text in ("first", "second"):
        with atomic_folder(tmp_path / "data/posts") as folder:
            (folder / f"{text}.txt").write_text(text)
    assert [path.name for path in (tmp_path / "data/posts").iterdir()] == ["second.txt"]
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["posts"]


def test_what_a_killed_process_of_the_same_number_left_is_tidied_up(tmp_path: Path) -> None:
    (tmp_path / f".posts-{os.getpid()}-left").mkdir()
    with atomic_folder(tmp_path / "posts"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["posts"]


def test_what_a_process_killed_between_two_renames_took_away_comes_back(tmp_path: Path) -> None:
    stale = tmp_path / f".posts-{os.getpid()}-left/stale"
    stale.mkdir(parents=True)
    (stale / "a.txt").write_text("whole")
    others = {".posts-of-mine-1", ".posts-2024-1-left"}  # the user's, and what is being made for posts-2024
    for other in others:
        (tmp_path / other).mkdir()
    with pytest.raises(KeyError), atomic_folder(tmp_path / "posts"):
        raise KeyError
    assert (tmp_path / "posts/a.txt").read_text() == "whole"
    assert {path.name for path in tmp_path.iterdir()} == {"posts", *others}


def test_an_error_leaves_the_earlier_folder_as_it_was(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "posts") as folder:
        (folder / "a.txt").write_text("whole")
    with pytest.raises(KeyError), atomic_folder(tmp_path / "posts") as folder:
        (folder / "a.txt").write_text("half")
        raise KeyError
    assert (tmp_path / "posts/a.txt").read_text() == "whole"
    assert [path.name for path in tmp_path.iterdir()] == ["posts"]


@pytest.mark.parametrize(
    "problem", [UserError("posts.csv: no\ntags"), FileNotFoundError(2, "No", "posts"), KeyboardInterrupt()]
)
def test_what_the_user_can_mend_is_one_line(problem: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    def stage() -> str:
        raise problem

    monkeypatch.setattr(sys, "argv", ["src/ingest.py"])
    with pytest.raises(SystemExit) as stop:
        run(stage)
    assert str(stop.value.code).startswith("ingest: ")
    assert "\n" not in str(stop.value.code)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("CUDA out of memory. Tried to allocate 2.00 GiB.", "not enough memory on the GPU"),
        ("CUDA error: out of memory", "not enough memory on the GPU"),
        ("CUDA error: no kernel image is available for execution on the device", "this build of torch does not"),
        ("[enforce fail at alloc_cpu.cpp:1] DefaultCPUAllocator: can't allocate memory", "not enough memory; free"),
    ],
)
def test_what_torch_says_of_a_machine_is_one_line(message: str, expected: str) -> None:
    assert str(explain(RuntimeError(message), "run it again")).startswith(expected)


@pytest.mark.parametrize("stage", ["featurize_dense", "featurize_tfidf", "train_dense", "evaluate"])
def test_what_an_earlier_stage_should_have_left_is_named(tmp_path: Path, stage: str) -> None:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    done = call(sys.executable, ROOT / f"src/{stage}.py", cwd=tmp_path)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert re.fullmatch(rf"{stage}: data/posts/\S+ is missing; `dvc repro` runs the stages that write it", line)


def test_a_stage_ends_with_what_it_made(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr(sys, "argv", ["src/ingest.py"])
    run(lambda: "kept 3 posts")
    _, last = capsys.readouterr().out.splitlines()
    assert last.startswith("ingest: kept 3 posts (")


def test_a_stage_starts_with_what_it_does_and_no_line_waits_for_the_end(tmp_path: Path) -> None:
    (tmp_path / "count.py").write_text(ENDS_EARLY)
    done = call(sys.executable, "count.py", cwd=tmp_path, cold=True)
    assert done.returncode == 9, done.stderr
    assert done.stdout == "count: count the posts ...\nhalf of them\n"


def test_a_stage_ends_with_the_dvc_that_started_it(tmp_path: Path) -> None:
    """Else it would put its outputs in place of those of a later `dvc repro`."""
    (tmp_path / "count.py").write_text(WAITS)
    dvc = subprocess.Popen(
        [sys.executable, "-c", "import subprocess, sys; subprocess.run([sys.executable, 'count.py'])"],
        cwd=tmp_path,
        env=ENVIRONMENT | {"DVC_STAGE": "count"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert dvc.stdout is not None
    assert dvc.stdout.readline() == "count: count the posts ...\n"
    [stage] = psutil.Process(dvc.pid).children()
    dvc.kill()
    _, alive = psutil.wait_procs([stage], timeout=30)
    assert not alive


def test_an_interrupt_after_the_last_rename_is_no_other_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = Path.rename

    def interrupted(path: Path, target: Path) -> Path:
        renamed = rename(path, target)
        if path.name == "fresh" and (target.parent / "second").exists():
            raise KeyboardInterrupt
        return renamed

    monkeypatch.setattr(Path, "rename", interrupted)
    with atomic_folder(tmp_path / "posts") as folder:
        (folder / "a.txt").write_text("first")
    (tmp_path / "second").touch()
    with pytest.raises(KeyboardInterrupt), atomic_folder(tmp_path / "posts") as folder:
        (folder / "a.txt").write_text("second")
    assert (tmp_path / "posts/a.txt").read_text() == "second"


def test_a_stage_takes_no_arguments_and_says_what_it_reads_and_writes(tmp_path: Path) -> None:
    helped, told = (call(sys.executable, ROOT / "src/ingest.py", more, cwd=tmp_path) for more in ("--help", "a.csv"))
    assert helped.returncode == 0 and "out: data/posts: " in helped.stdout
    assert told.returncode == 2 and "unrecognized arguments: a.csv" in told.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("stage", OUTPUTS)
def test_every_stage_says_first_what_it_does(stage: str) -> None:
    first = str(ast.get_docstring(ast.parse((ROOT / f"src/{stage}.py").read_text(encoding="utf-8")))).splitlines()[0]
    assert first.startswith(f"Stage {stage}: ") and first.endswith(".")
    assert first.isascii()  # it is printed, whatever the terminal's encoding
