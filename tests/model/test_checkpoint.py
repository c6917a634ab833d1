"""checkpoint.py: a run that was stopped continues to the same weights; it ignores the checkpoints of other runs."""

import time
from pathlib import Path

import numpy as np
import pytest
import torch
from test_training import Log, make_posts, network, settings

from tagstudy.model import checkpoint, training
from tagstudy.model.batches import Posts
from tagstudy.model.checkpoint import Checkpoint


class Stop(Exception):
    """What ends a run from outside."""


class Stopping(Log):
    """Stops the run when an epoch begins."""

    def __init__(self, epoch: int) -> None:
        super().__init__()
        self.epoch = epoch

    def next_step(self) -> None:
        super().next_step()
        if len(self.rows) > self.epoch + 1:
            raise Stop


@pytest.fixture
def both(tmp_path: Path) -> tuple[Posts, Posts]:
    rng = np.random.default_rng(0)
    return make_posts(tmp_path / "train", rng), make_posts(tmp_path / "valid", rng)


@pytest.mark.parametrize("stops", [[0], [1], [3], [1, 1, 2]])
@pytest.mark.parametrize("patience", [2, 100])
def test_a_stopped_run_ends_as_if_it_had_not_been(
    both: tuple[Posts, Posts], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stops: list[int], patience: int
) -> None:
    monkeypatch.setattr(checkpoint, "SECONDS", 0)
    chosen = settings(epochs=6, patience=patience, dropout=0.5, word_dropout=0.2, mixup=1.0, warmup=0.1, lr=0.01)
    ends = []
    for log, held in [(Log(), None), *((Stopping(epoch), True) for epoch in stops), (Log(), True)]:
        model = network(chosen, embedding_dim=8)  # as a new process makes it
        own = Checkpoint(tmp_path / "run.pt", "this run") if held else None
        try:
            training.fit(model, *both, chosen, 0, log, own)
        except Stop:
            continue
        ends.append((model.state_dict(), log.rows))
    (undisturbed, history), (taken_up, again) = ends
    assert history == again
    assert all(torch.equal(weights, taken_up[name]) for name, weights in undisturbed.items())


def test_a_finished_run_is_not_trained_again(
    both: tuple[Posts, Posts], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "SECONDS", 0)
    chosen = settings(epochs=2)
    first = training.fit(network(chosen), *both, chosen, 0, Log(), Checkpoint(tmp_path / "run.pt", "this run"))
    monkeypatch.setattr(training, "clip_gradients", None)  # which every step calls
    assert training.fit(network(chosen), *both, chosen, 0, Log(), Checkpoint(tmp_path / "run.pt", "this run")) == first


def test_what_is_not_this_run_s_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "unfinished/run.pt"
    assert Checkpoint(path, "a").load() is None
    Checkpoint(path, "a").save(lambda: {"history": [1]})
    assert not path.exists()  # nothing is kept that took no time
    monkeypatch.setattr(checkpoint, "SECONDS", 0)
    Checkpoint(path, "a").save(lambda: {"history": [1]})
    assert Checkpoint(path, "a").load() == {"history": [1]}
    assert Checkpoint(path, "b").load() is None
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1  # which torch would not find out
    for damaged in (b"", b"not torch", whole[:-40], whole[: len(whole) // 2], whole[1:], bytes(flipped)):
        path.write_bytes(damaged)
        assert Checkpoint(path, "a").load() is None
    for other in ([1, 2], {"about": "a"}, {"about": "a", "seconds": "x"}, None):
        torch.save(other, path)
        assert Checkpoint(path, "a").load() is None


def test_seconds_before_a_stop_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "SECONDS", 0)
    begin = time.monotonic()
    first = Checkpoint(tmp_path / "run.pt", "a")
    first.start -= 100
    first.save(dict)
    second = Checkpoint(tmp_path / "run.pt", "a")
    second.load()
    assert 100 <= second.seconds() <= 100 + time.monotonic() - begin + 1e-6
