"""The encoder that makes a frozen encoder's vectors, in the precision that is asked for."""

import torch

from tagstudy.core.config import EncoderSettings
from tagstudy.encoders.encoder import Encoder
from tagstudy.encoders.int8 import Int8Encoder


def frozen_encoder(settings: EncoderSettings, device: torch.device) -> Encoder:
    """An encoder that encodes on a device, without gradients; in int8 on the CPU, whatever the device."""
    torch.set_num_threads(1)  # for each batch
    return Int8Encoder(settings).eval() if settings.dtype == "int8" else Encoder(settings).eval().to(device)
