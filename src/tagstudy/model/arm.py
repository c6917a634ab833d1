"""Train the network of one arm, once for each run, side by side; write the models and their predictions."""

import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import as_completed
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch
from dvclive import Live

from tagstudy.core.checksums import check_made_from
from tagstudy.core.config import Train
from tagstudy.core.corpus import Corpus
from tagstudy.core.device import choose_device
from tagstudy.core.files import atomic_folder, read_json, write_json
from tagstudy.core.fingerprint import LIBRARY, fingerprint
from tagstudy.core.paths import SPLITS, ArmFolders, features_of_fold
from tagstudy.core.processes import available_cores, worker_pool
from tagstudy.core.store import open_matrix
from tagstudy.model import replicas
from tagstudy.model.batches import Posts
from tagstudy.model.checkpoint import Checkpoint
from tagstudy.model.convergence import Budget
from tagstudy.model.mlp import MLP
from tagstudy.model.network import merge_subwords, new_network, write_network
from tagstudy.model.training import Best, fit, predict
from tagstudy.predictions.predictions import PredictionWriter

GPU_MEMORY = 2 * 2**30  # bytes that a run may take on a GPU
FINE_TUNED_GPU_MEMORY = 8 * 2**30  # and one that trains an encoder
RUNS = 3  # of a single split, where train.runs is auto
CODE = [LIBRARY / name for name in ("core", "encoders", "model", "predictions")]


class Job(NamedTuple):
    """A run: the fold it trains on, and its seed."""

    number: int
    fold: int
    seed: int
    settings: Train
    folders: ArmFolders


class RunResult(NamedTuple):
    best: Best
    seconds: float  # of training
    seconds_per_post: float  # of predicting test
    cost: dict[str, float]  # parameters, multiply_adds of a post


def train_arm(settings: Train, folders: ArmFolders) -> str:
    """Train the network once for each run; write models, predictions and seconds. Returns a line that says so.

    Runs are trained side by side: as many as there are cores for; on a GPU, of fine-tuned encoders as many as fit.
    One that was stopped continues from its checkpoint. Raises :class:`UserError` when a loss is NaN or infinite.
    """
    corpus = Corpus(folders.posts)
    check_made_from(folders.features, folders.posts)
    posts = int(corpus.is_in("train", fold=0).sum())
    print(f"{posts:,} posts to train on, {len(corpus.tags)} tags")
    if overrides := settings.overrides():
        print("overrides: " + ", ".join(f"{place} {value}" for place, value in overrides.items()))
    budget = Budget.of(posts, settings)
    raised = f", not {settings.epochs}: {settings.place('min_steps')} is {settings.min_steps}"
    print(f"at most {budget.epochs} epochs{raised if budget.epochs > settings.epochs else ''}")
    print(
        f"{budget.batches:,} steps per epoch, {settings.batch_size} posts per step, patience {budget.patience} epochs"
    )
    made_from = [folders.posts, folders.features]
    if replicas.rank():  # one of several processes, of which the first one writes
        for job in make_jobs(settings, corpus.folds, folders):
            train_run(job)
        return "trained for the first process"
    with (  # the models are in place first: predictions are made from them
        atomic_folder(folders.predictions, [*made_from, folders.models]) as predictions,
        atomic_folder(folders.models, made_from) as models,
    ):
        written = folders._replace(models=models, predictions=predictions)
        jobs = make_jobs(settings, corpus.folds, written)
        results = []
        for job, result in zip(jobs, train_runs(jobs), strict=True):
            results.append(result)
            where = f"run {job.number}" + (f", fold {job.fold}" if corpus.folds > 1 else "")
            print(f"{where}: best validation micro-F1 {result.best.micro_f1:.4f} in epoch {result.best.epoch}")
        runs = [
            {"fold": job.fold, "seed": job.seed, "epoch": result.best.epoch, "problem": result.best.problem}
            for job, result in zip(jobs, results, strict=True)
        ]
        described = {"loss": settings.loss, "runs": runs, "posts": corpus.fingerprint}
        unready = [result.best for result in results if result.best.problem]
        described["remedy"] = remedy = budget.remedy(unready[0].epoch, posts, settings) if unready else ""
        write_json(models / "model.json", described | {"tags": corpus.tags, "cost": results[0].cost})
        write_json(predictions / "predictions.json", described)
    shutil.rmtree(folders.unfinished, ignore_errors=True)
    folders.timings.parent.mkdir(exist_ok=True)
    seconds = {"seconds": [result.seconds for result in results]}
    write_json(folders.timings, seconds | {"seconds_per_post": min(result.seconds_per_post for result in results)})
    for problem, count in Counter(best.problem for best in unready).items():
        print(f"{count} of {len(results)} runs have not converged: {problem}; {remedy}")
    return f"trained {len(results)} run{'s' * (len(results) > 1)} on {posts:,} posts"


def make_jobs(settings: Train, folds: int, folders: ArmFolders) -> list[Job]:
    """The runs: one for each fold, then a second for each, and so on."""
    repeats = settings.runs if settings.runs != "auto" else 1 if folds > 1 else RUNS
    return [Job(run, run % folds, settings.seed + run, settings, folders) for run in range(repeats * folds)]


def train_runs(jobs: list[Job]) -> Iterator[RunResult]:
    """The result of each run, in order."""
    workers = min(len(jobs), runs_at_once(jobs[0].settings, jobs[0].folders.features))
    if workers == 1:
        yield from map(train_run, jobs)
        return
    with worker_pool(workers, fork=choose_device(jobs[0].settings.device).type == "cpu") as pool:
        runs = [pool.submit(train_run, job) for job in jobs]
        for run in as_completed(runs):
            run.result()  # the first error ends all of them
        yield from (run.result() for run in runs)


def runs_at_once(settings: Train, features: Path) -> int:
    """How many runs the machine can train side by side. Several processes train one after the other."""
    if replicas.ranks() > 1:
        return 1
    device = choose_device(settings.device)
    cores = max(1, available_cores() // settings.threads)
    fine_tuned = "encoder" in read_json(features_of_fold(features, fold=0) / "features.json")
    if device.type == "cpu":
        return cores
    memory = FINE_TUNED_GPU_MEMORY if fine_tuned else GPU_MEMORY
    return max(1, min(cores, torch.cuda.mem_get_info(device)[0] // memory))


def train_run(job: Job) -> RunResult:
    """Train one network, and write its weights, its log and its predictions for valid and test.

    Of several processes the first one writes; of the others' results the best epoch alone counts.
    """
    number, fold, seed, settings, folders = job
    model, network, (train, valid, test) = untrained(settings, folders, fold, seed)
    if number == 0:
        print(model.describe(), flush=True)
    folder = folders.models / f"run-{number}"
    files = [path for source in (features_of_fold(folders.features, fold), folders.posts) for path in source.rglob("*")]
    device, processor = choose_device(settings.device).type, torch.backends.cpu.get_cpu_capability()
    facts = settings, network, seed, fold, device, processor, replicas.ranks(), torch.__version__
    checkpoint = Checkpoint(folders.unfinished / f"run-{number}.pt", fingerprint(*facts, code=CODE, files=files))
    # With its defaults Live would rewrite dvc.yaml in the middle of a repro.
    live = Live(str(folder), dvcyaml=None, save_dvc_exp=False, report=None) if replicas.rank() == 0 else None
    best = fit(model, train, valid, settings, seed, live, checkpoint)
    trained = checkpoint.seconds()
    if live is None:
        return RunResult(best, trained, 0, {})
    with suppress(FileNotFoundError):  # runs that end together remove one file of dvclive's, DVCLIVE_STEP_COMPLETED
        live.end()
    merge_subwords(model)
    write_network(folder, model, network)
    predicting = write_predictions(job, model, {"valid": valid, "test": test})
    cost = {"parameters": model.parameter_count(), "multiply_adds": model.multiply_adds(test.entries_per_post())}
    return RunResult(best, trained, predicting["test"], cost)


def untrained(
    settings: Train, folders: ArmFolders, fold: int, seed: int, splits: Sequence[str] = SPLITS
) -> tuple[MLP, dict[str, Any], list[Posts]]:
    """A network on its device, what it is, and the posts of ``splits``, train first; sets torch's threads and seed."""
    folder = features_of_fold(folders.features, fold)
    corpus, features = Corpus(folders.posts), open_matrix(folder / "matrix")
    posts = [Posts(features, corpus.labels, corpus.rows(split, fold)) for split in splits]
    return *new_network(settings, folder, posts[0], len(corpus.tags), seed), posts


def write_predictions(job: Job, model: MLP, splits: dict[str, Posts]) -> dict[str, float]:
    """Write the logits of each split's posts; returns the seconds a post took."""
    seconds = {}
    for split, posts in splits.items():
        start = time.perf_counter()
        folder = job.folders.predictions / f"run-{job.number}" / split
        with PredictionWriter(folder, posts.labels.shape[1], job.settings.top_tags) as writer:
            for _, logits in predict(model, posts):
                writer.append_logits(logits.numpy())
        seconds[split] = (time.perf_counter() - start) / len(posts)
    return seconds
