"""Which encoder it was: its name alone does not tell, because a folder or a model of the hub may change."""

import hashlib

import torch

from tagstudy.encoders.encoder import Encoder


def identity(encoder: Encoder) -> str:
    """A digest of an encoder's vocabulary, settings and weights, the same on every machine."""
    vocabulary = sorted(encoder.tokenizer.get_vocab().items())
    pooling = [str(getattr(module, "pooling_mode", None)) for module in encoder.body]
    settings = vocabulary, encoder.prompt, encoder.window, encoder.dims, encoder.normalized, pooling
    digest = hashlib.blake2b(repr(settings).encode(), digest_size=16)
    for weights in encoder.parameters():
        digest.update(weights.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
