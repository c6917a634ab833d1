"""to_onnx.py: what cannot be exported is one line, and nothing is told that nobody asked for."""

import logging
import warnings
from pathlib import Path

import pytest
import torch

from tagstudy.core.errors import UserError
from tagstudy.encoders.to_onnx import quiet, to_onnx


def test_a_model_of_more_than_2_gb_is_one_line(tmp_path: Path) -> None:
    large = torch.nn.Linear(2**15, 2**15, device="meta")
    with pytest.raises(UserError, match=r"for a test: the weights are more than 2 GB, .* try another encoder"):
        to_onnx(large, tmp_path / "model.onnx", {"x": torch.ones(1, 2**15)}, ["y"], ({},), "for a test")


def test_quiet_ends(caplog: pytest.LogCaptureFixture) -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with pytest.raises(ValueError, match="any"), quiet():
            logging.getLogger("any").warning("inside")
            warnings.warn("inside", stacklevel=1)
            raise ValueError("any")
        logging.getLogger("any").warning("behind")
        warnings.warn("behind", stacklevel=1)
    assert [str(each.message) for each in told] == caplog.messages == ["behind"]
