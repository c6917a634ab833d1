"""Exports a module to ONNX, without what torch and its libraries say of their progress."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.onnx import OnnxExporterError

from tagstudy.core.errors import UserError

LIMIT = 2**31  # bytes of an ONNX file with its weights inside


@contextmanager
def quiet() -> Iterator[None]:
    """Around libraries that describe their own progress."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logging.disable(before)


def to_onnx(
    module: nn.Module, path: Path, inputs: dict[str, Tensor], outputs: list[str], sizes: tuple[Any, ...], purpose: str
) -> None:
    """Write a module as an ONNX file.

    inputs: an example of each, no tensor twice: that would become one input; sizes: which of its dimensions vary, as
    torch.export takes them. Raises :class:`UserError` where torch cannot export it, with the ``purpose`` ahead.
    """
    if sum(parameter.nbytes for parameter in module.parameters()) >= LIMIT:
        raise UserError(
            f"{purpose}: the weights are more than 2 GB, which an ONNX file cannot hold; try another encoder, or keep "
            "fewer terms (featurize_tfidf.max_features)"
        )
    with quiet(), torch.no_grad():
        try:
            torch.onnx.export(
                module,
                tuple(inputs.values()),
                path,
                input_names=list(inputs),
                output_names=outputs,
                dynamic_shapes=sizes,
                external_data=False,
                verbose=False,
            )
        except (OnnxExporterError, RuntimeError, ValueError) as problem:
            reason = " ".join(str(problem).split())
            raise UserError(f"{purpose}: torch cannot export this model ({reason:.200}); try another encoder") from None
