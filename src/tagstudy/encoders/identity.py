"""Which encoder it was: its name alone does not tell, because a folder or a model of the hub may change."""

import hashlib
import json
from typing import Any

import torch

from tagstudy.encoders.encoder import Encoder

ELSEWHERE = ("_name_or_path", "transformers_version", "dtype", "torch_dtype")  # of a config: not the model's own


def identity(encoder: Encoder) -> str:
    """A digest of an encoder's tokenizer, configuration, settings and weights, the same on every machine."""
    pooling = [str(getattr(module, "pooling_mode", None)) for module in encoder.body]
    having = (module for module in encoder.modules() if hasattr(getattr(module, "config", None), "to_dict"))
    configs = {id(module.config): module.config for module in having}  # layers share one
    described = tokenizer_of(encoder), [configuration(config) for config in configs.values()]
    settings = *described, encoder.prompt, encoder.window, encoder.dims, encoder.normalized, pooling
    digest = hashlib.blake2b(repr(settings).encode(), digest_size=16)
    for weights in encoder.parameters():
        digest.update(weights.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def tokenizer_of(encoder: Encoder) -> str:
    """All that a tokenizer does, but for truncation and padding, which calls set."""
    vocabulary = encoder.tokenizer.get_vocab()
    backend = getattr(encoder.tokenizer, "backend_tokenizer", None)
    described = json.loads(backend.to_str()) if backend else {}
    return as_text({"vocabulary": vocabulary} | described | {"truncation": None, "padding": None})


def configuration(config: Any) -> str:
    return as_text({key: value for key, value in config.to_dict().items() if key not in ELSEWHERE})


def as_text(value: dict[str, Any]) -> str:
    return json.dumps(value, sort_keys=True, default=str)
