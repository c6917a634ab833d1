"""Whether an encoder is read as sentence-transformers reads it, so that no setting of a model is ignored in silence."""

from typing import TYPE_CHECKING

import numpy as np
import torch

from tagstudy.core.errors import UserError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

PROBE = "Ünïcode 中文, C# and $.ajax()"
TOLERANCE = 0.05  # of a vector's length; bfloat16 makes a difference of a hundredth


def reference_vector(model: "SentenceTransformer", prompt: str) -> np.ndarray:
    """[dims] PROBE's, as :meth:`SentenceTransformer.encode` makes it; cut to the model's ``truncate_dim``.

    Raises :class:`UserError` for a model that does not turn a text into a vector.
    """
    model.eval()
    try:
        with torch.no_grad():  # not encode's inference mode: what a model keeps of it cannot be fine-tuned
            features = model(model.preprocess([PROBE], prompt=prompt or None))
        return features["sentence_embedding"][0, : model.truncate_dim].float().numpy()
    except (AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as problem:
        reason = " ".join(f"{type(problem).__name__} {problem}".split())
        raise UserError(f"featurize_dense.encoder: it cannot encode a text ({reason}); name another one") from None


def check_vector(actual: np.ndarray, expected: np.ndarray, name: str) -> None:
    """Raises :class:`UserError` where the directions of two vectors differ."""
    actual, expected = (vector / max(float(np.linalg.norm(vector)), 1e-12) for vector in (actual, expected))
    gap = float(np.linalg.norm(actual - expected))
    if not gap < TOLERANCE:
        raise UserError(
            f"featurize_dense.encoder: {name} has settings that the study does not support (its vectors are {gap:.0%} "
            "off those of sentence-transformers); name another encoder"
        )
