"""The device that `train.device` names."""

import os

import torch
import torch.distributed as dist

from tagstudy.core.errors import UserError


def choose_device(name: str) -> torch.device:
    """The device that `train.device` names; `auto` is a GPU if there is one. Each process of torchrun has its own.

    Raises :class:`UserError` for a GPU that does not exist.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "cuda" and dist.is_initialized():
        if device.index is not None:
            raise UserError(f"train.device: {name} is one GPU, and there are several processes; use auto or cuda")
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        remedy = "start no more processes than it has GPUs, or use cpu" if dist.is_initialized() else "use auto or cpu"
        raise UserError(f"train.device: no {device} on this machine; {remedy}")
    return device
