"""Where a run of the training stands, kept in a file, so that one that was stopped goes on from its last epoch."""

import pickle
import time
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from tagstudy.model.optimizers import AdamW, RowwiseAdagrad

UNFINISHED = Path("data/unfinished")
SECONDS = 30  # of work that are worth keeping; a small study never writes a checkpoint


class Checkpoint:
    """The state of a run, in a file that is whole or absent. ``about`` is what the run follows from."""

    def __init__(self, path: Path, about: str) -> None:
        self.path, self.about = path, about
        self.before = 0.0  # seconds that the run took until it was stopped
        self.start = self.kept = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """What :meth:`save` was given last, if it belongs to the same run."""
        try:
            state = torch.load(self.path, map_location="cpu", weights_only=True)
        except (OSError, EOFError, RuntimeError, pickle.UnpicklingError):
            return None
        if state.pop("about", None) != self.about:
            return None
        self.before = state.pop("seconds")
        return state

    def save(self, state: dict[str, Any]) -> None:
        """Keep the state, of tensors, numbers, text, lists and dicts, if the work since the last time is worth it."""
        if time.monotonic() - self.kept < SECONDS:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        half = self.path.with_suffix(".half")
        torch.save(state | {"about": self.about, "seconds": self.seconds()}, half)
        half.replace(self.path)
        self.kept = time.monotonic()

    def seconds(self) -> float:
        """Seconds of the run, those before it was stopped with them."""
        return self.before + time.monotonic() - self.start


def snapshot(
    model: nn.Module, optimizers: Sequence[AdamW | RowwiseAdagrad], rng: np.random.Generator
) -> dict[str, Any]:
    """All that the next epoch depends on."""
    return {
        "weights": model.state_dict(),
        "optimizers": [optimizer.state() for optimizer in optimizers],
        "rng": rng.bit_generator.state,
        "torch_rng": torch.get_rng_state(),
        "cuda_rng": torch.cuda.get_rng_state_all(),  # of each GPU, so none on a CPU alone
    }


def restore(
    state: dict[str, Any], model: nn.Module, optimizers: Sequence[AdamW | RowwiseAdagrad], rng: np.random.Generator
) -> None:
    """Put back what :func:`snapshot` gave."""
    model.load_state_dict(state["weights"])
    for optimizer, kept in zip(optimizers, state["optimizers"], strict=True):
        for own, tensor in zip(optimizer.state(), kept, strict=True):
            own.copy_(tensor)
    rng.bit_generator.state = state["rng"]
    torch.set_rng_state(state["torch_rng"])
    torch.cuda.set_rng_state_all(state["cuda_rng"])


def fingerprint(*facts: object, folders: Iterable[Path]) -> str:
    """Changes when one of the facts does, the code, or a file in the folders (by its size and time, as for make)."""
    seen = blake2b(repr((facts, torch.__version__)).encode())
    for source in sorted(Path(__file__).parents[1].rglob("*.py")):
        seen.update(source.read_bytes())
    for file in sorted(path for folder in folders for path in folder.rglob("*")):
        about = file.stat()
        seen.update(f"{file} {about.st_size} {about.st_mtime_ns}".encode())
    return seen.hexdigest()
