"""optimizers.py: the steps that torch.optim's classes take, but for what is said to differ."""

import copy
import subprocess
import sys

import pytest
import torch
from conftest import ROOT

from tagstudy.model.optimizers import AdamW, RowwiseAdagrad


def test_adamw_steps_as_torch_s_class() -> None:
    torch.manual_seed(0)
    ours, theirs = ([torch.nn.Parameter(torch.full((3, 2), 0.5)), torch.nn.Parameter(torch.ones(4))] for _ in range(2))
    mine, reference = AdamW(ours, 0.01, 0.1), torch.optim.AdamW(theirs, lr=0.01, weight_decay=0.1)
    for factor in (1.0, 0.5, 0.25):
        for a, b in zip(ours, theirs, strict=True):
            a.grad = torch.randn_like(a)
            b.grad = a.grad.clone()
        reference.param_groups[0]["lr"] = 0.01 * factor
        mine.param_groups[0]["lr"] = 0.01 * factor
        mine.step()
        reference.step()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


def test_adamw_leaves_a_parameter_without_gradient_as_torch_s_does() -> None:
    """Some encoders have parameters that a sentence does not pass."""
    used, unused = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    used.grad = torch.ones(2)
    AdamW([used, unused], 0.01, 0.1).step()
    assert (used < 1).all() and (unused == 1).all()


def test_adagrad_of_a_matrix_one_wide_is_torch_s() -> None:
    """With one column, the mean over a row is its only entry; rows outside the batch stay."""
    ours, theirs = torch.nn.Parameter(torch.ones(5, 1)), torch.nn.Parameter(torch.ones(5, 1))
    mine, reference = (
        RowwiseAdagrad([ours], 0.1, 0.3),
        torch.optim.Adagrad([theirs], lr=0.1, initial_accumulator_value=0.3),
    )
    for rows in ([0, 3], [3, 4], [3]):
        ours.grad = torch.sparse_coo_tensor(
            [rows], torch.randn(len(rows), 1), (5, 1), is_coalesced=True, check_invariants=False
        )
        theirs.grad = ours.grad.to_dense()
        mine.step()
        reference.step()
    torch.testing.assert_close(ours, theirs)
    assert ours[1:3].tolist() == [[1.0], [1.0]]


def test_a_row_has_one_accumulator() -> None:
    """Every entry of a row moves in proportion to its gradient, by a root mean square of lr in the first step."""
    table = torch.nn.Parameter(torch.zeros(2, 2))
    table.grad = torch.sparse_coo_tensor(
        [[1]], torch.tensor([[3.0, 4.0]]), (2, 2), is_coalesced=True, check_invariants=False
    )
    RowwiseAdagrad([table], 0.1, 0.0).step()
    assert (table[1, 1] / table[1, 0]).item() == pytest.approx(4 / 3)
    assert table[1].square().mean().sqrt().item() == pytest.approx(0.1)


def test_a_row_without_gradient_stays() -> None:
    table = torch.nn.Parameter(torch.ones(2, 2))
    table.grad = torch.sparse_coo_tensor([[0]], torch.zeros(1, 2), (2, 2), is_coalesced=True, check_invariants=False)
    RowwiseAdagrad([table], 0.1, 0.0).step()
    assert table.tolist() == [[1, 1], [1, 1]]


def test_a_state_is_saved_and_loaded_as_torch_s_are() -> None:
    """With it a second optimizer takes the steps that the first would take."""
    matrix = torch.nn.Parameter(torch.ones(3, 2))
    layer = torch.nn.Parameter(torch.ones(3, 2))
    matrix.grad = torch.sparse_coo_tensor([[1]], torch.ones(1, 2), (3, 2), is_coalesced=True, check_invariants=False)
    layer.grad = torch.ones(3, 2)
    for make in (lambda p: RowwiseAdagrad([p], 0.1, 0.3), lambda p: AdamW([p], 0.1, 0.01)):
        parameter = matrix if "Rowwise" in type(make(matrix)).__name__ else layer
        first = make(parameter)
        first.step()
        saved, before = copy.deepcopy(first.state_dict()), parameter.detach().clone()
        first.step()
        expected = parameter.detach().clone()
        with torch.no_grad():
            parameter.copy_(before)
        second = make(parameter)
        second.load_state_dict(saved)
        second.step()
        assert torch.equal(parameter, expected)


def test_no_compiler_is_imported() -> None:
    """Neither with the training loop nor with an optimizer and its scheduler."""
    code = """
import sys, torch
from torch.optim.lr_scheduler import LambdaLR
from tagstudy.model.training import AdamW
optimizer = AdamW([torch.nn.Parameter(torch.zeros(2))], 0.1, 0.1)
scheduler = LambdaLR(optimizer, lambda step: 0.5)
optimizer.param_groups[0]["params"][0].grad = torch.ones(2)
optimizer.step()
scheduler.step()
optimizer.load_state_dict(optimizer.state_dict())
sys.exit("torch._dynamo" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT / "src", check=False).returncode == 0
