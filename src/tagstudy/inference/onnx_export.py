"""A trained arm as an ONNX file, which runs without this project and without torch.

Of an arm that reads bags the file takes `columns` and `weights`, both [posts, longest], each post's filled up with
weights of 0; of one that reads an encoder's vectors, `vectors` [posts, dims]. It gives `probabilities` [posts, tags].
Columns are numbered as in the vocabulary.json of the arm's features, tags as in data/posts/tags.json. The fusion is a
mean of both files' probabilities. metrics/prediction.json has the dense arm's share of it, and all thresholds; the
first of each list belongs to these files.
"""

import copy
import logging
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from tagstudy.core.errors import UserError
from tagstudy.core.paths import MODELS
from tagstudy.core.store import read_texts
from tagstudy.inference.predictor import Arm
from tagstudy.model.losses import Loss
from tagstudy.model.mlp import MLP, CsrEmbedding

TRIED = 256  # test posts that the file is tried on
NEAR = 1e-5


class PaddedEmbedding(nn.Module):
    """A Bag whose posts are filled up to one length."""

    def __init__(self, bag: CsrEmbedding) -> None:
        super().__init__()
        self.weight, self.bias = bag.weight, bag.bias

    def forward(self, columns: Tensor, weights: Tensor) -> Tensor:
        return (weights[:, None] @ self.weight[columns])[:, 0] + self.bias


class Probabilities(nn.Module):
    def __init__(self, network: MLP, loss: Loss) -> None:
        super().__init__()
        self.network, self.loss = copy.deepcopy(network), loss
        if isinstance(network.first, CsrEmbedding):
            self.network.first = PaddedEmbedding(network.first)  # type: ignore[assignment]

    def forward(self, *features: Tensor) -> Tensor:
        return self.loss.probability(self.network(*features))


def pad(indices: np.ndarray, offsets: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """CsrMatrix as two arrays [posts, longest]."""
    lengths = np.diff(offsets)
    inside = np.arange(max(1, lengths.max())) < lengths[:, None]
    columns, filled = np.zeros(inside.shape, np.int64), np.zeros(inside.shape, np.float32)
    columns[inside], filled[inside] = indices, weights
    return columns, filled


def export_onnx(name: str, arm: Arm) -> str:
    """Write data/models/NAME.onnx and try it; returns a line that says so. An encoder that has learned is left out.

    Raises :class:`UserError` where a package is missing, and where the file's probabilities are further than NEAR from
    torch's.
    """
    try:
        import onnxruntime
        import onnxscript  # noqa: F401  # torch exports with it
    except ImportError as problem:
        raise UserError(f"--export onnx needs {problem.name}; run pip install -r requirements-onnx.txt") from None
    if arm.network.encoder is not None:
        return f"{name}: holds an encoder that has learned, and is not exported"
    texts = next(read_texts("test"))[:TRIED]
    batch = arm.vectorize(texts)
    named = dict(zip(("columns", "weights"), pad(*batch), strict=True)) if len(batch) == 3 else {"vectors": batch[0]}
    path = MODELS / f"{name}.onnx"
    write(path, Probabilities(arm.network, arm.loss).eval(), named)
    [found] = onnxruntime.InferenceSession(path).run(None, named)
    gap = float(np.abs(found - arm.answer(texts).probabilities).max())
    if not gap < NEAR:
        path.unlink()
        raise UserError(f"{path}: its probabilities differ from torch's by {gap:.1e}; report this")
    return f"{path}: {', '.join(named)} to probabilities, within {gap:.0e} of torch's on {len(texts)} posts"


def write(path: Path, network: nn.Module, named: dict[str, np.ndarray]) -> None:
    posts, longest = torch.export.Dim("posts"), torch.export.Dim("longest")
    sizes = {0: posts, 1: longest} if len(named) == 2 else {0: posts}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # what torch has to say of itself
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            tuple(torch.from_numpy(array) for array in named.values()),
            path,
            input_names=list(named),
            output_names=["probabilities"],
            dynamic_shapes=((sizes,) * len(named),),
            external_data=False,
            verbose=False,
        )
