"""A frozen encoder in 8-bit integers, by ONNX Runtime: faster on a CPU than in float32, with nearly the same vectors.

Weights have a scale for each output and are converted once; activations have one for each window and matrix product.
Windows are read one by one, so that a text's vector does not depend on the texts beside it. A weight has 7 of the 8
bits: with all of them, large sums would saturate on processors without VNNI instructions.
"""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from tagstudy.core.config import EncoderSettings
from tagstudy.core.errors import UserError, needs
from tagstudy.core.files import atomic_file
from tagstudy.core.paths import embedding_cache
from tagstudy.core.printing import print_visible
from tagstudy.core.processes import available_cores
from tagstudy.encoders.encoder import Encoder
from tagstudy.encoders.identity import identity
from tagstudy.encoders.reference import PROBE
from tagstudy.encoders.to_onnx import quiet, to_onnx

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

FORMAT = 2  # raise it whenever a change of the code changes what is converted
NEAR = 0.95  # cosine similarity of a vector to that in float32, at least
INPUTS = ("token_ids", "attention_mask")  # [windows, longest]


class Windows(nn.Module):
    """What is exported of an encoder: vectors [windows, dims], not normalised, of token ids and attention mask."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, token_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self.encoder.encode_batch(token_ids, attention_mask)


class Int8Encoder(Encoder):
    """An encoder whose matrix products are of integers. It is frozen, and runs on the CPU alone."""

    session: "InferenceSession | None" = None  # not yet converted

    def __init__(self, settings: EncoderSettings) -> None:
        """Raises :class:`UserError` as :class:`Encoder` does, and for one that cannot be converted or changes much."""
        super().__init__(settings)
        exact = self.encode([PROBE])[0]
        self.session = open_session(self)
        vector = self.encode([PROBE])[0]
        near = float(vector @ exact / max(np.linalg.norm(vector) * np.linalg.norm(exact), 1e-12))
        if not near > NEAR:
            raise UserError(
                f"featurize_dense.dtype: int8 changes this encoder's vectors (cosine {near:.2f}); set it to float32"
            )
        self.precision = f"int8 (cosine {near:.3f} to float32)"

    def encode_windows(self, input_ids: Tensor, weights: Tensor, starts: np.ndarray, ends: np.ndarray) -> Tensor:
        """Vectors [windows, dims] of the windows between these places."""
        session = self.session
        if session is None:
            return super().encode_windows(input_ids, weights, starts, ends)

        def encode_window(window: int) -> np.ndarray:
            edges = (torch.from_numpy(places[window : window + 1]) for places in (starts, ends))
            inputs = (part.numpy() for part in self.pad(input_ids, weights, *edges))
            return session.run(None, dict(zip(INPUTS, inputs, strict=True)))[0]

        with ThreadPoolExecutor(available_cores()) as threads:
            return torch.from_numpy(np.concatenate(list(threads.map(encode_window, range(len(starts))))))


def open_session(encoder: Encoder) -> "InferenceSession":
    """The encoder as ONNX Runtime runs it. It is converted once, and kept beside the embedding cache."""
    with needs("onnx", "featurize_dense.dtype: int8"):
        import onnxruntime
        import onnxscript  # torch exports with it
        import transformers
        from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidGraph, InvalidProtobuf, NoSuchFile
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # windows are read side by side
    versions = FORMAT, torch.__version__, transformers.__version__, onnxruntime.__version__, onnxscript.__version__
    facts = identity(encoder), encoder.prompt_length, [repr(module) for module in encoder.body], versions
    name = f"int8-{hashlib.blake2b(repr(facts).encode(), digest_size=8).hexdigest()}.onnx"
    cache = embedding_cache()
    with TemporaryDirectory() as scratch:
        path = cache.parent / name if cache else Path(scratch) / name
        try:
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                convert(encoder, path)
        except OSError as problem:
            print_visible(f"{path}: cannot be written ({problem.strerror}); the encoder is converted each time")
            path = Path(scratch) / name
            convert(encoder, path)
        try:
            return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except (Fail, InvalidGraph, InvalidProtobuf, NoSuchFile) as problem:
            raise UserError(f"{path}: cannot be read ({problem!s:.200}); delete it, and it is written anew") from None


def convert(encoder: Encoder, path: Path) -> None:
    """Write an encoder with 8-bit weights. Raises :class:`UserError` where torch cannot export it."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    inputs = {name: torch.ones(4, 5, dtype=torch.int64) for name in INPUTS}
    sizes: Any = dict(enumerate(map(torch.export.Dim, ("windows", "longest"))))
    with TemporaryDirectory() as scratch, atomic_file(path) as fresh:
        exact = Path(scratch) / "float32.onnx"
        to_onnx(Windows(encoder), exact, inputs, ["vectors"], (sizes, sizes), "featurize_dense.dtype: int8")
        with quiet():
            quantize_dynamic(exact, fresh, per_channel=True, reduce_range=True, weight_type=QuantType.QInt8)
