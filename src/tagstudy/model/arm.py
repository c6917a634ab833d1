"""Train the network of one arm, once per seed, side by side; write the models and their predictions."""

import shutil
import time
from collections.abc import Iterator
from concurrent.futures import as_completed
from typing import Any, NamedTuple

import torch
from dvclive import Live
from safetensors.torch import save_file

from tagstudy.core.config import Train
from tagstudy.core.corpus import Corpus
from tagstudy.core.device import choose_device
from tagstudy.core.files import read_json, whole_folder, write_json
from tagstudy.core.paths import ArmFolders
from tagstudy.core.processes import available_cores, worker_pool
from tagstudy.core.store import open_matrix
from tagstudy.model.batches import Posts
from tagstudy.model.checkpoint import Checkpoint, fingerprint
from tagstudy.model.network import build, describe_network, load_pretrained_embedding
from tagstudy.model.training import Best, fit, predict
from tagstudy.predictions.predictions import PredictionWriter

GPU_MEMORY = 8 * 2**30  # bytes that a run with a fine-tuned encoder may take on a GPU


class Job(NamedTuple):
    """What all runs of an arm have in common."""

    settings: Train
    network: dict[str, Any]
    folders: ArmFolders
    about: str  # fingerprint of all that the weights follow from


class RunResult(NamedTuple):
    best: Best
    seconds: float  # of training
    seconds_per_post: float  # of predicting test
    cost: dict[str, float]  # parameters, multiply_adds of a post


def train_arm(settings: Train, folders: ArmFolders) -> str:
    """Train the network once per seed; write models, predictions and seconds. Returns a line that says so.

    Runs are independent and are trained side by side: as many as there are cores for their threads, or as fit on a GPU.
    One that was stopped continues from its checkpoint. Raises :class:`UserError` when a loss is NaN or infinite.
    """
    corpus = Corpus(folders.posts)
    network = describe_network(settings, read_json(folders.features / "features.json"), len(corpus.tags))
    seeds = list(range(settings.seed, settings.seed + settings.runs))
    device = choose_device(settings.device)
    about = fingerprint(settings, network, device, folders=[folders.features, folders.posts])
    posts = len(corpus.rows("train"))
    print(f"{posts:,} posts to train on, {len(corpus.tags)} tags")
    print(f"at most {settings.epochs} epochs, {settings.batch_size} posts a batch, lr {settings.lr:g}")
    with whole_folder(folders.models) as models, whole_folder(folders.predictions) as predictions:
        job = Job(settings, network, folders._replace(models=models, predictions=predictions), about)
        results = []
        for seed, result in zip(seeds, train_runs(seeds, job), strict=True):
            results.append(result)
            print(f"run {seed}: best validation micro-F1 {result.best.micro_f1:.4f} in epoch {result.best.epoch}")
        described = {"network": network, "loss": settings.loss, "seeds": seeds, "tags": corpus.tags}
        write_json(models / "model.json", described | {"cost": results[0].cost})
        write_json(predictions / "predictions.json", {"loss": settings.loss, "seeds": seeds})
    shutil.rmtree(folders.unfinished, ignore_errors=True)
    folders.timings.parent.mkdir(exist_ok=True)
    seconds = {"seconds": [result.seconds for result in results]}
    write_json(folders.timings, seconds | {"seconds_per_post": min(result.seconds_per_post for result in results)})
    return f"trained {len(seeds)} times on {posts:,} posts"


def train_runs(seeds: list[int], job: Job) -> Iterator[RunResult]:
    """The result of each run, in the order of the seeds."""
    workers = min(len(seeds), runs_at_once(job))
    if workers == 1:
        yield from (train_run(seed, job) for seed in seeds)
        return
    with worker_pool(workers, fork=choose_device(job.settings.device).type == "cpu") as pool:
        runs = [pool.submit(train_run, seed, job) for seed in seeds]
        for run in as_completed(runs):
            run.result()  # the first error ends all of them
        yield from (run.result() for run in runs)


def runs_at_once(job: Job) -> int:
    """How many runs the machine can train side by side."""
    device = choose_device(job.settings.device)
    cores = max(1, available_cores() // job.settings.threads)
    if device.type == "cpu" or "encoder" not in job.network:
        return cores
    return max(1, min(cores, torch.cuda.mem_get_info(device)[0] // GPU_MEMORY))


def train_run(seed: int, job: Job) -> RunResult:
    """Train one network, and write its weights, its log and its predictions for valid and test."""
    settings, network, folders, about = job
    torch.set_num_threads(settings.threads)
    torch.manual_seed(seed)
    corpus, features = Corpus(folders.posts), open_matrix(folders.features / "matrix")
    train, valid, test = (Posts(features, corpus.labels, corpus.rows(split)) for split in ("train", "valid", "test"))
    model = build(network)
    load_pretrained_embedding(model, folders.features / "embedding.npy", settings.freeze)
    if model.skip is not None:
        model.skip.choose(train.term_frequencies())
    model.to(choose_device(settings.device))
    if seed == settings.seed:
        print(model.describe(), flush=True)
    folder = folders.models / f"run-{seed}"
    # With its defaults Live would rewrite dvc.yaml in the middle of a repro.
    with Live(str(folder), dvcyaml=None, save_dvc_exp=False, report=None) as live:
        checkpoint = Checkpoint(folders.unfinished / f"run-{seed}.pt", about)
        best = fit(model, train, valid, settings, seed, live, checkpoint)
    save_file(model.state_dict(), folder / "weights.safetensors")
    seconds = {}
    for split, posts in (("valid", valid), ("test", test)):
        start = time.perf_counter()
        with PredictionWriter(
            folders.predictions / f"run-{seed}" / split, len(corpus.tags), settings.top_tags
        ) as writer:
            for _, logits in predict(model, posts):
                writer.append_logits(logits.numpy())
        seconds[split] = (time.perf_counter() - start) / len(posts)
    cost = {"parameters": model.parameter_count(), "multiply_adds": model.multiply_adds(test.entries_per_post())}
    return RunResult(best, checkpoint.seconds(), seconds["test"], cost)
