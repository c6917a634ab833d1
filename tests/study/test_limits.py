"""Where the disk or the memory does not suffice a stage says so in one line, and what it had written before stays."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import OUTPUTS, ROOT, call, rows, write_params

FREE = [0, 4, 16, 64, 256, 512, 1024]  # KiB


def limited(folder: Path, stage: str, limit: str) -> subprocess.CompletedProcess:
    """Run a stage in a shell with a limit of its own."""
    return call("sh", "-c", f"ulimit {limit} && exec '{sys.executable}' '{ROOT}/src/{stage}.py'", cwd=folder)


def read(*folders: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()}


def small_study(folder: Path) -> None:
    (folder / "posts.jsonl").write_bytes(rows(["a", "b"], ["a"]))
    write_params(
        folder,
        ingest={"source": "posts.jsonl", "tags": 2, "min_tags": 1, "folds": 3},
        train={"epochs": 2, "min_steps": 1, "hidden": [64]},
        featurize_dense={"embedding_dim": 300},
        evaluate={"resamples": 100},
    )


def test_a_quota_of_the_disk_is_told_and_the_posts_of_before_stay(tmp_path: Path) -> None:
    small_study(tmp_path)
    assert limited(tmp_path, "ingest", "-f unlimited").returncode == 0
    before = read(tmp_path / "data")
    done = limited(tmp_path, "ingest", "-f 1")  # no file may be longer than 512 bytes, or 1,024 with some shells
    assert done.returncode == 1
    assert done.stderr.splitlines() == ["ingest: the disk or its quota is full; make room and run `dvc repro` again"]
    assert read(tmp_path / "data") == before


@pytest.mark.slow
@pytest.mark.parametrize(("posts", "length"), [(1, 300_000_000), (50_000, 2_000)])
def test_memory_is_needed_for_a_post_at_a_time(tmp_path: Path, posts: int, length: int) -> None:
    """A post of 300 MB is too much for a limit of 1.5 GB, and as many in short posts are not."""
    small_study(tmp_path)
    write_params(tmp_path, ingest={"source": "posts.csv", "tags": 1, "min_tags": 1})
    with (tmp_path / "posts.csv").open("w") as file:
        file.write("title,tags\n")
        file.writelines(f"{number} {'word ' * (length // 5)},a\n" for number in range(posts))
    done = limited(tmp_path, "ingest", "-v 1500000")
    if posts > 1:
        assert done.returncode == 0, done.stderr
    else:
        assert done.returncode == 1
        assert done.stderr.splitlines() == ["ingest: not enough memory; free some, or give fewer posts or tags"]


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A disk of 32 MB that holds a finished study."""
    folder = tmp_path_factory.mktemp("disk")
    mounted = call("mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", folder, cwd=folder)
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted: {mounted.stderr.strip()}")
    try:
        small_study(folder)
        for stage in OUTPUTS:
            assert limited(folder, stage, "-f unlimited").returncode == 0
        yield folder
    finally:
        call("umount", folder, cwd=ROOT)


@pytest.mark.slow
@pytest.mark.parametrize("stage", OUTPUTS)
def test_a_full_disk_is_told_and_nothing_is_lost(disk: Path, stage: str) -> None:
    outputs = [disk / output for output in OUTPUTS[stage]]
    before = read(*outputs)
    ballast = disk / "ballast"
    ended = []
    for free in FREE:
        ballast.write_bytes(bytes(max(0, shutil.disk_usage(disk).free - free * 1024)))
        done = limited(disk, stage, "-f unlimited")
        ballast.unlink()
        ended.append(done.returncode)
        if done.returncode:
            assert "the disk is full" in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
            assert read(*outputs) == before
        assert not list(disk.rglob(".*-*")), "scratch folders are left"
    assert ended[0] == 1, "nothing can be written to a full disk"
    assert limited(disk, stage, "-f unlimited").returncode == 0
    changed = {path.name for path, data in read(*outputs).items() if before[path] != data}
    assert changed <= {"timings.json", "cost.png"}
    print(f"{stage}: {ended.count(1)} of {len(FREE)} runs on a full disk, none of its files lost")
