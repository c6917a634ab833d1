"""The state of a run in a file, so that a run that was stopped continues from its last epoch."""

import time
from collections.abc import Callable, Sequence
from hashlib import blake2b
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

DIGEST = 32  # bytes
SECONDS = 30  # between two checkpoints; a small study never writes one


class Stateful(Protocol):
    """An optimizer or a scheduler."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: dict[str, Any]) -> None: ...


class Checkpoint:
    """The state of a run, in a file that is whole or absent; ``fingerprint`` is that of all it depends on.

    The file starts with a digest, without which it is not read.
    """

    def __init__(self, path: Path, fingerprint: str) -> None:
        self.path, self.fingerprint = path, fingerprint
        self.before = 0.0  # seconds that the run had taken when it was stopped
        self.start = self.saved = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """The state that was saved last, if it belongs to the same run."""
        try:
            digest, state = np.split(np.fromfile(self.path, np.uint8), [DIGEST])
        except FileNotFoundError:
            return None
        if digest.tobytes() != self.digest(state.data):  # damaged, or of another run
            return None
        saved = torch.load(BytesIO(state.tobytes()), map_location="cpu", weights_only=True)
        self.before = saved.pop("seconds")
        return saved

    def save(self, state_dict: Callable[[], dict[str, Any]]) -> None:
        """Write the state, of tensors, numbers, text, lists and dicts, unless the last one is younger than SECONDS."""
        if time.monotonic() - self.saved < SECONDS:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        half, state = self.path.with_suffix(".half"), BytesIO()
        torch.save(state_dict() | {"seconds": self.seconds()}, state)
        with half.open("wb") as file:
            file.write(self.digest(state.getbuffer()))
            file.write(state.getbuffer())
        half.replace(self.path)
        self.saved = time.monotonic()

    def digest(self, state: memoryview) -> bytes:
        """[DIGEST bytes] Of the run and its state: torch does not find out that a file is damaged."""
        return blake2b(state, digest_size=DIGEST, key=blake2b(self.fingerprint.encode()).digest()).digest()

    def seconds(self) -> float:
        """Seconds of the run, with those before it was stopped."""
        return self.before + time.monotonic() - self.start


def snapshot(model: nn.Module, parts: Sequence[Stateful], rng: np.random.Generator) -> dict[str, Any]:
    """The state of the network, of its optimizers and schedulers, and of every random number generator."""
    device = next(model.parameters()).device
    return {
        "weights": model.state_dict(),
        "parts": [part.state_dict() for part in parts],
        "rng": rng.bit_generator.state,
        "torch_rng": torch.get_rng_state(),
        "cuda_rng": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
    }


def restore(state: dict[str, Any], model: nn.Module, parts: Sequence[Stateful], rng: np.random.Generator) -> None:
    """Put back what :func:`snapshot` gave."""
    model.load_state_dict(state["weights"])
    for part, saved in zip(parts, state["parts"], strict=True):
        part.load_state_dict(saved)
    rng.bit_generator.state = state["rng"]
    torch.set_rng_state(state["torch_rng"])
    if state["cuda_rng"] is not None:
        torch.cuda.set_rng_state(state["cuda_rng"], next(model.parameters()).device)
