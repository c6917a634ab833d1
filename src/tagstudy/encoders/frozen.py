"""The encoder that makes a frozen encoder's vectors, in the precision that is asked for."""

import torch

from tagstudy.core.config import EncoderSettings
from tagstudy.core.errors import UserError
from tagstudy.encoders.encoder import Encoder
from tagstudy.encoders.int8 import Int8Encoder


def frozen_encoder(settings: EncoderSettings, device: torch.device) -> Encoder:
    """An encoder that encodes on a device, without gradients. Raises :class:`UserError` for int8 on a GPU."""
    torch.set_num_threads(1)  # for each batch
    if settings.dtype != "int8":
        return Encoder(settings).eval().to(device)
    if device.type != "cpu":
        raise UserError("featurize_dense.dtype: int8 is for CPUs; set train.device to cpu, or this to bfloat16")
    return Int8Encoder(settings).eval()
