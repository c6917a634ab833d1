"""Which encoder it was: its name alone does not tell, because a folder or a model of the hub may change."""

import hashlib

import torch

from tagstudy.encoders.encoder import Encoder


def identity(encoder: Encoder) -> str:
    """A digest of an encoder's tokenizer, modules and weights, which is the same on every machine."""
    backend = getattr(encoder.tokenizer, "backend_tokenizer", None)  # which tokenizers in Python lack
    vocabulary = backend.to_str() if backend else sorted(encoder.tokenizer.get_vocab().items())
    pooling = [str(getattr(module, "pooling_mode", None)) for module in encoder.body]
    settings = vocabulary, encoder.prompt, encoder.window, encoder.dims, encoder.normalized, pooling
    digest = hashlib.blake2b(repr(settings).encode(), digest_size=16)
    for name, weights in encoder.state_dict().items():
        digest.update(name.encode())
        digest.update(weights.cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
