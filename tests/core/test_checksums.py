"""checksums.py: a file that is not as it was written, and folders that do not belong together, are found out."""

import subprocess
from pathlib import Path

import pytest

from tagstudy.core.checksums import SUMS, check_made_from, checked, seal
from tagstudy.core.errors import UserError
from tagstudy.core.files import atomic_folder, read_json, write_json
from tagstudy.core.paths import MODELS, POSTS


@pytest.fixture
def posts(tmp_path: Path) -> Path:
    with atomic_folder(tmp_path / POSTS, made_from=[]) as folder:
        write_json(folder / "tags.json", ["a", "b"])
        (folder / "labels").mkdir()
        (folder / "labels/data.npy").write_bytes(b"123")
    return tmp_path / POSTS


@pytest.fixture
def models(tmp_path: Path, posts: Path) -> Path:
    with atomic_folder(tmp_path / MODELS / "dense", made_from=[posts]) as folder:
        write_json(folder / "model.json", {})
    return tmp_path / MODELS / "dense"


def test_what_was_written_is_read(posts: Path, models: Path) -> None:
    assert read_json(posts / "tags.json") == ["a", "b"]
    assert checked(posts / "labels/data.npy") == posts / "labels/data.npy"
    check_made_from(models, posts)


def test_sha256sum_reads_the_checksums(models: Path) -> None:
    """Of the files, and of the checksums of the folder that they were made from."""
    done = subprocess.run(["sha256sum", "--check", "--strict", SUMS], cwd=models, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["model.json: OK", f"../../posts/{SUMS}: OK"]


@pytest.mark.parametrize("data", [b"", b"12", b"1234", b"124"])
def test_a_file_that_is_not_as_it_was_written(posts: Path, data: bytes) -> None:
    (posts / "labels/data.npy").write_bytes(data)
    with pytest.raises(UserError, match=r"labels/data\.npy: damaged .*; run `dvc repro --force ingest`"):
        checked(posts / "labels/data.npy")


def test_a_file_that_was_added(posts: Path) -> None:
    write_json(posts / "labels.json", 1)
    with pytest.raises(UserError, match="damaged"):
        read_json(posts / "labels.json")


def test_folders_that_do_not_belong_together(posts: Path, models: Path) -> None:
    with atomic_folder(posts, made_from=[]) as folder:
        write_json(folder / "tags.json", ["a", "c"])
    with pytest.raises(UserError, match=r"models/dense was not made from this .*posts; run `dvc repro`, or"):
        check_made_from(models, posts)


@pytest.mark.parametrize("text", ["", "\x00", "a  b", "  \n" * 9, "�" * 100])
def test_checksums_that_are_damaged(posts: Path, models: Path, text: str) -> None:
    (posts / SUMS).write_text(text, encoding="utf-8")
    for read in (lambda: read_json(posts / "tags.json"), lambda: check_made_from(models, posts)):
        with pytest.raises(UserError):
            read()


def test_what_is_still_being_made_passes(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", 1)
    assert read_json(tmp_path / "a.json") == 1
    (tmp_path / "a.json").write_bytes(b"[" * 100_000)
    with pytest.raises(UserError, match=r"a\.json: damaged .*; run `dvc repro`$"):
        read_json(tmp_path / "a.json")


def test_checksums_of_a_download_in_the_study_are_not_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path(SUMS).write_text(f"{'0' * 64}  Posts.7z\n")
    with atomic_folder(Path("data/posts"), made_from=[]) as folder:
        write_json(folder / "a.json", 1)
        assert read_json(folder / "a.json") == 1
    assert read_json(Path("data/posts/a.json")) == 1
    Path("data/posts/a.json").write_text("2")
    with pytest.raises(UserError, match="damaged"):
        read_json(Path("data/posts/a.json"))


def test_seconds_are_in_no_checksums(tmp_path: Path) -> None:
    write_json(tmp_path / "timings.json", 1)
    seal(tmp_path)
    assert (tmp_path / SUMS).read_text() == ""
