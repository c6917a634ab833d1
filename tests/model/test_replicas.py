"""replicas.py: several processes train one network as one process does; one line tells of an error of any of them."""

import io
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import chdir, redirect_stdout
from datetime import timedelta
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from conftest import ENVIRONMENT, ROOT, run_stage, save_csr, write_params
from scipy.sparse import csr_array
from test_arm import FOLDS, make_study, one_core, seal_all
from test_checkpoint import Stop, Stopping
from test_training import TAGS, WORDS, Log, make_posts, network, settings

import train_sparse
from tagstudy.core import stage
from tagstudy.core.device import choose_device
from tagstudy.core.errors import UserError
from tagstudy.model import arm, checkpoint, training
from tagstudy.model.batches import Posts, draw_mixup
from tagstudy.model.checkpoint import Checkpoint
from tagstudy.model.network import build, describe_network
from tagstudy.model.replicas import backend, check_equal, check_shares, rank, replicas, sum_gradients

NOISE = {"dropout": 0.5, "word_dropout": 0.2, "mixup": 1.0, "warmup": 0.1, "lr": 0.01}
TRAIN = {"epochs": 2, "min_steps": 1, "runs": 2}


def in_processes(work: Callable[[], Any], ranks: int = 2) -> list[Any]:
    """What ``work`` gives in each of several processes, which start and end as those of torchrun do.

    Once one gives an exit status the others are ended; what they would have given is None.
    """
    store = dist.TCPStore("localhost", 0, is_master=True, wait_for_workers=False, timeout=timedelta(minutes=1))
    started, given = {}, [None] * ranks
    for number in range(ranks):
        receiver, sender = get_context("fork").Pipe(duplex=False)
        process = get_context("fork").Process(target=be_one, args=(number, ranks, store.port, work, sender))
        process.start()
        sender.close()
        started[receiver] = number, process
    while started:
        for ready in wait(list(started)):
            number, process = started.pop(ready)
            try:
                given[number] = pickle.loads(ready.recv_bytes())  # noqa: S301 - it is the test's own
            except EOFError:  # it was killed
                continue
            if isinstance(given[number], End):
                for _, other in started.values():
                    other.terminate()
            process.join()
    return given


class End(tuple):
    """What a stage printed, and what it ended with."""


def be_one(number: int, ranks: int, port: int, work: Callable[[], Any], sender: Connection) -> None:
    os.environ |= {"TORCHELASTIC_RUN_ID": "test", "TORCHELASTIC_USE_AGENT_STORE": "True", "MASTER_ADDR": "localhost"}
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"  # whatever address the machine's name has
    os.environ |= {"MASTER_PORT": str(port), "WORLD_SIZE": str(ranks)}
    os.environ |= {"RANK": str(number), "LOCAL_RANK": str(number)}
    sender.send_bytes(pickle.dumps(work()))  # by itself it would send no tensor, but where to ask for it


def within_replicas(work: Callable[[], Any]) -> Any:
    with replicas():
        return work()


def train_stage(folder: Path) -> End | str:
    """Run a training stage: what it printed, and where it failed the message too."""
    printed = io.StringIO()
    sys.argv = ["train_sparse.py"]
    with chdir(folder), redirect_stdout(printed):
        try:
            stage.run(train_sparse.main, within=replicas())
        except SystemExit as end:
            return End((printed.getvalue(), end.code))
    return printed.getvalue()


@pytest.fixture
def both(tmp_path: Path) -> tuple[Posts, Posts]:
    rng = np.random.default_rng(0)
    return make_posts(tmp_path / "train", rng), make_posts(tmp_path / "valid", rng)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Two runs of a single split."""
    folder = make_study(tmp_path)
    np.save(folder / "data/posts/splits.npy", FOLDS[:1])
    seal_all(folder)
    write_params(folder, train=TRAIN)
    return folder


# --------------------------------------------------------------------------- gradients

NETWORKS = [
    {"csr": True, "embedding_dim": None},
    {"csr": True, "embedding_dim": 8},
    {"csr": True, "embedding_dim": None, "skip_terms": 5},
]


def gradients(posts: Posts, about: dict[str, Any], loss: str) -> dict[str, torch.Tensor]:
    """All gradients of a batch, those of embedding matrices sparse, and the running statistics behind it."""
    chosen = settings(word_dropout=0.2, loss=loss, pos_weight=True)
    torch.manual_seed(0)
    model = build(describe_network(chosen, {"inputs": WORDS} | about, TAGS) | about)
    if model.skip is not None:
        model.skip.choose(posts.term_frequencies())
    run = training.Run(model, posts, posts, chosen, 0)
    model.train()
    run.batch_loss(np.arange(len(posts) - 1)).backward()  # shares of unlike sizes
    sum_gradients(model)
    found = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}
    return found | {name: statistics.clone() for name, statistics in model.named_buffers()}


def test_gradients_of_several_processes_add_up_to_those_of_one(both: tuple[Posts, Posts], tmp_path: Path) -> None:
    """Those of embedding matrices stay sparse, also where a process has posts without a word."""
    posts = both[0]
    rows = posts.features.take(posts.rows).toarray()  # type: ignore[union-attr]
    rows[len(rows) * 2 // 3 :] = 0
    silent = Posts(save_csr(tmp_path / "silent", csr_array(rows)), posts.labels, posts.rows)

    def work() -> list[dict[str, torch.Tensor]]:
        cases = [(posts, about, loss) for about in NETWORKS for loss in ("squared_hinge", "cross_entropy")]
        return [gradients(*case) for case in [*cases, (silent, NETWORKS[0], "squared_hinge")]]

    alone = work()
    first, *others = in_processes(partial(within_replicas, work), 3)
    for case, (expected, found) in enumerate(zip(alone, first, strict=True)):
        assert expected.keys() == found.keys()
        for name, value in expected.items():
            assert value.layout == found[name].layout
            if value.is_sparse:
                assert torch.equal(value._indices(), found[name]._indices())  # each row once
                value, found[name] = value._values(), found[name]._values()
            torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-6)
            for other in others:
                theirs = other[case][name]
                assert torch.equal(found[name], theirs._values() if theirs.is_sparse else theirs)


def test_mixtures_are_of_a_process_s_own_posts() -> None:
    for own in (slice(0, 5), slice(2, 5)):
        _, others = draw_mixup(5, own, 1, np.random.default_rng(0))  # type: ignore[misc]
        assert sorted(others.tolist()) == list(range(own.stop - own.start))


# --------------------------------------------------------------------------- runs


def trained(both: tuple[Posts, Posts], path: Path | None, stop: int | None = None) -> Any:
    """The weights and the log of a run; None where it stops when an epoch begins."""
    chosen = settings(epochs=5, patience=3, **NOISE)
    model, log = network(chosen, embedding_dim=8), Log() if stop is None else Stopping(stop)
    try:
        training.fit(model, *both, chosen, 0, log, path and Checkpoint(path, "this run"))
    except Stop:
        return None
    return {name: weights.numpy() for name, weights in model.state_dict().items()}, log.rows


def test_replicas_are_equal_bit_for_bit_also_where_the_run_was_stopped(
    both: tuple[Posts, Posts], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "SECONDS", 0)
    path = tmp_path / "run.pt"

    def work() -> list[Any]:
        undisturbed = trained(both, None)
        assert trained(both, path, stop=2) is None
        assert path.exists()
        return [undisturbed, trained(both, path)]

    runs = [run for process in in_processes(partial(within_replicas, work)) for run in process]
    for weights, log in runs[1:]:
        assert log == runs[0][1]
        for name, values in weights.items():
            np.testing.assert_array_equal(values, runs[0][0][name])


def test_processes_that_cannot_train_together_are_told() -> None:
    def work() -> list[str]:
        model, said = network(settings()), []
        with torch.no_grad():
            model.output_bias[0] += rank()
        for check in (
            lambda: check_equal(model),
            lambda: check_shares(1, "train.batch_size"),
            lambda: choose_device("cuda:0"),
        ):
            with pytest.raises(UserError) as problem:
                check()
            said.append(str(problem.value))
        return said

    for weights, shares, device in in_processes(partial(within_replicas, work)):
        assert weights.startswith("the weights of the processes differ")
        assert shares.startswith("train.batch_size: a batch has 1 posts, for 2 processes")
        assert device.startswith("train.device: cuda:0 is one GPU")


@pytest.mark.parametrize(("gpu", "expected"), [(False, "gloo"), (True, "cpu:gloo,cuda:nccl")])
def test_numbers_of_the_cpu_are_exchanged_on_a_machine_with_a_gpu_too(
    gpu: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Named alone, a GPU's backend would carry nothing else."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    assert backend() == expected


# --------------------------------------------------------------------------- stages


def written(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in (folder / "data/models/sparse").rglob("weights.*")}


def test_the_first_process_writes_and_another_number_of_them_begins_anew(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = in_processes(partial(train_stage, study))
    assert "run 1: best validation micro-F1" in first and "trained 2 runs" in first
    assert second == ""
    two = written(study)
    with one_core():
        assert run_stage(train_sparse, study).returncode == 0
    one = written(study)
    assert len(one) == len(two) == 2 and one != two

    def fit(model: Any, train: Posts, valid: Posts, chosen: Any, seed: int, log: Any, own: Checkpoint) -> None:
        training.fit(model, train, valid, chosen.model_copy(update={"epochs": 1}), seed, log, own)
        raise KeyboardInterrupt

    with monkeypatch.context() as stopping:
        stopping.setattr(checkpoint, "SECONDS", 0)
        stopping.setattr(arm, "fit", fit)
        in_processes(partial(train_stage, study))
    assert (study / "data/unfinished/sparse/run-0.pt").exists()
    with one_core():
        assert run_stage(train_sparse, study).returncode == 0
    assert written(study) == one


def fail(problem: str, *arguments: Any) -> None:
    """In the second process alone."""
    if rank() == 1:
        if problem == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        raise UserError("something is wrong")


@pytest.mark.parametrize(
    ("problem", "says"),
    [
        ("of all", "train_sparse: the loss is"),
        ("of one", "train_sparse: something is wrong"),
        ("killed", "train_sparse: another process of the training was killed"),
    ],
)
def test_an_error_of_any_process_is_one_line(
    study: Path,
    monkeypatch: pytest.MonkeyPatch,
    problem: str,
    says: str,
) -> None:
    if problem == "of all":
        write_params(study, train=TRAIN | {"lr": 1e30, "clip_value": None})
    else:
        monkeypatch.setattr(training, "check_loss", partial(fail, problem))
    ends = [end for end in in_processes(partial(train_stage, study)) if end is not None]
    [message] = [code for _, code in ends if isinstance(code, str)]
    assert message.startswith(says)
    assert not (study / "data/models/sparse").exists()


# --------------------------------------------------------------------------- torchrun itself

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def torchrun(study: Path) -> subprocess.Popen:
    heard = partial(signal.signal, signal.SIGINT, signal.default_int_handler)  # also where pytest ignores it
    command = [*TORCHRUN, ROOT / "src/train_sparse.py"]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=study, env=ENVIRONMENT, stdout=pipe, stderr=pipe, text=True, preexec_fn=heard)


@pytest.mark.slow
def test_torchrun_trains_and_what_it_starts_ends_with_it(study: Path) -> None:
    printed, said = (process := torchrun(study)).communicate()
    assert process.returncode == 0, said
    assert printed.count("trained 2 runs") == 1 and written(study)

    write_params(study, train=TRAIN | {"lr": 1e30, "clip_value": None})
    _, said = (process := torchrun(study)).communicate()
    assert process.returncode == 1
    assert said.count("train_sparse: the loss is") == 1  # among what torchrun itself reports

    write_params(study, train=TRAIN | {"epochs": 10**5, "patience": 10**5})
    for number, lines in ((signal.SIGINT, ["train_sparse: interrupted; run `dvc repro` again"]), (signal.SIGKILL, [])):
        process = torchrun(study)
        assert process.stdout
        assert any("parameters" in line for line in process.stdout)  # the line before training begins
        process.send_signal(number)
        _, said = process.communicate(timeout=20)  # it has the pipes of all that it starts
        assert process.returncode
        assert [line for line in said.splitlines() if line.startswith("train_sparse: ")] == lines
