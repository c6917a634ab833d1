"""A trained arm as an ONNX file, which runs without this project and without torch.

An arm over CSR features takes `columns` and `weights`, both [posts, longest], each post padded with weights of 0; an
arm over an encoder's vectors takes `vectors` [posts, dims]. Either gives `probabilities` [posts, tags]. Columns are
numbered as in the vocabulary.json of the arm's features, tags as in its model.json. These probabilities are not yet
calibrated, and the fusion's are a mean of both files'. data/decisions/run-0.json has the weight of the dense arm, the
calibration of each system, and its threshold.
"""

import copy
import logging
import warnings
from itertools import chain, islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from tagstudy.core.corpus import Corpus
from tagstudy.core.errors import UserError
from tagstudy.core.paths import MODELS, POSTS
from tagstudy.inference.models import Arm
from tagstudy.model.embedding import CsrEmbedding, FrequentTerms
from tagstudy.model.losses import LOSSES, Loss
from tagstudy.model.mlp import MLP

CHECKED = 256  # test posts that the file is checked on
TOLERANCE = 1e-5


class PaddedEmbedding(nn.Module):
    """A CsrEmbedding whose posts are padded to one length."""

    def __init__(self, embedding: CsrEmbedding) -> None:
        super().__init__()
        self.weight, self.bias = embedding.weight, embedding.bias

    def forward(self, columns: Tensor, weights: Tensor) -> Tensor:
        return (weights[:, None] @ self.weight[columns])[:, 0] + self.bias


class PaddedFrequentTerms(nn.Module):
    """FrequentTerms over padded posts."""

    def __init__(self, skip: FrequentTerms) -> None:
        super().__init__()
        self.register_buffer("row", skip.row.long())
        self.weight = skip.weight

    def forward(self, columns: Tensor, weights: Tensor) -> Tensor:
        rows = self.row[columns]  # type: ignore[index]
        kept = weights * (rows >= 0)
        return (kept[:, None] @ self.weight[rows.clamp(min=0)])[:, 0]


class Probabilities(nn.Module):
    """The network of an arm with the probabilities that its logits stand for."""

    def __init__(self, network: MLP, loss: Loss) -> None:
        super().__init__()
        self.network, self.loss = copy.deepcopy(network), loss
        if isinstance(network.first, CsrEmbedding):
            self.network.first = PaddedEmbedding(network.first)  # type: ignore[assignment]
        if network.skip is not None:
            self.network.skip = PaddedFrequentTerms(network.skip)  # type: ignore[assignment]

    def forward(self, *features: Tensor) -> Tensor:
        return self.loss.probability(self.network(*features))


def pad(indices: np.ndarray, offsets: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """CSR features as two arrays [posts, longest]: columns, and weights, 0 where a post is padded."""
    lengths = np.diff(offsets)
    inside = np.arange(max(1, lengths.max())) < lengths[:, None]
    columns, padded = np.zeros(inside.shape, np.int64), np.zeros(inside.shape, np.float32)
    columns[inside], padded[inside] = indices, weights
    return columns, padded


def export_onnx(name: str, arm: Arm, study: Path = Path()) -> str:
    """Write data/models/NAME.onnx and check it; returns a line that says so. A fine-tuned encoder is not exported.

    Raises :class:`UserError` where a package is missing, and where the file's probabilities are further than TOLERANCE
    from torch's.
    """
    try:
        import onnxruntime
        import onnxscript  # noqa: F401  # torch exports with it
    except ImportError as problem:
        raise UserError(f"--export onnx needs {problem.name}; run pip install -r requirements-onnx.txt") from None
    if arm.network.encoder is not None:
        return f"{name}: holds a fine-tuned encoder, and is not exported"
    corpus = Corpus(study / POSTS)
    texts = list(islice(chain.from_iterable(corpus.texts(corpus.is_in("test", fold=0))), CHECKED))
    batch = arm.vectorize(texts)
    inputs = dict(zip(("columns", "weights"), pad(*batch), strict=True)) if len(batch) == 3 else {"vectors": batch[0]}
    path = study / MODELS / f"{name}.onnx"
    write(path, Probabilities(arm.network, LOSSES[arm.loss]).eval(), inputs)
    [probabilities] = onnxruntime.InferenceSession(path).run(None, inputs)
    gap = float(np.abs(probabilities - arm.scores(texts).probabilities).max())
    if not gap < TOLERANCE:
        path.unlink()
        raise UserError(f"{path}: its probabilities differ from torch's by {gap:.1e}; please report this")
    return f"{path}: {', '.join(inputs)} to probabilities, within {gap:.0e} of torch's on {len(texts)} posts"


def write(path: Path, network: nn.Module, inputs: dict[str, np.ndarray]) -> None:
    posts, longest = torch.export.Dim("posts"), torch.export.Dim("longest")
    sizes = {0: posts, 1: longest} if len(inputs) == 2 else {0: posts}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it describes its own progress
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            tuple(torch.from_numpy(array) for array in inputs.values()),
            path,
            input_names=list(inputs),
            output_names=["probabilities"],
            dynamic_shapes=((sizes,) * len(inputs),),
            external_data=False,
            verbose=False,
        )
