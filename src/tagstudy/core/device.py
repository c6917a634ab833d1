"""The device that `train.device` names."""

import torch

from tagstudy.core.errors import UserError


def choose_device(name: str) -> torch.device:
    """The device that `train.device` names; `auto` is a GPU if there is one.

    Raises :class:`UserError` for a GPU that does not exist.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(f"train.device: no {name} on this machine; use auto or cpu")
    return device
