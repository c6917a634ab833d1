"""The predictions of DVC's experiments, read from its cache: nothing is run again."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pandas as pd
import yaml

from tagstudy.core.checksums import check_made_from
from tagstudy.core.corpus import Corpus
from tagstudy.core.errors import UserError, is_disk_full
from tagstudy.core.paths import ARMS, DECISIONS, FUSION, METRICS, MODELS, PLOTS, POSTS, PREDICTIONS
from tagstudy.core.printing import print_visible
from tagstudy.core.repository import changed_stages
from tagstudy.evaluation.systems import Assessor, System
from tagstudy.predictions.predictions import Predictions

WORKSPACE = "workspace"


class Experiment(NamedTuple):
    """What is compared of an experiment."""

    name: str
    embedding: str
    arms: dict[str, Predictions]
    hashes: dict[str, str]  # of each arm's predictions, by which equal ones are known
    cost: pd.DataFrame  # a row for each arm and for the fusion, with their multiply_adds
    decides_by: tuple[str | float, str]  # its own evaluate.threshold and evaluate.calibrate


def names_of_experiments() -> list[str]:
    """The workspace, and the experiments of this commit."""
    from dvc.repo import Repo  # a second to import

    with Repo() as repo:
        listed = repo.experiments.ls()
    return [WORKSPACE, *(name for experiments in listed.values() for name, _ in experiments)]


@contextmanager
def open_experiments(names: list[str], posts: str) -> Iterator[list[Experiment]]:
    """Experiments by name or commit, or the workspace and all that can be compared with it where none is named.

    ``posts`` is the fingerprint of the posts that they must have been tested on. Raises :class:`UserError` for an
    experiment that there is not, whose predictions are not in the cache, or that was tested on other posts; where none
    is named, prints that it is left out.
    """
    experiments = []
    with TemporaryDirectory(prefix="tagstudy-") as scratch:
        for number, name in enumerate(names or names_of_experiments()):
            try:
                experiments.append(open_experiment(name, posts, Path(scratch) / str(number)))
            except UserError as problem:
                if names or name == WORKSPACE:
                    raise
                print_visible(f"left out: {problem}")
        yield experiments


def open_experiment(name: str, posts: str, scratch: Path) -> Experiment:
    root = Path() if name == WORKSPACE else fetch(name, scratch)
    try:
        if name == WORKSPACE:  # dvc.lock and plots/, which git has, must tell of the predictions that lie there
            check_made_from(METRICS, DECISIONS)
            check_made_from(DECISIONS, *(MODELS / arm for arm in ARMS))
            for side in ARMS:
                check_made_from(PREDICTIONS / side, POSTS, MODELS / side)
            check_lock()
        arms = {arm: Predictions(root / PREDICTIONS / arm) for arm in ARMS}
        cost = pd.read_csv(root / PLOTS / "cost.csv", index_col="arm")
        locked = yaml.safe_load((root / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    except FileNotFoundError as problem:
        raise UserError(f"{name}: {problem.filename} is missing; `dvc repro` makes it") from None
    for arm in arms.values():
        if arm.posts != posts:
            raise UserError(
                f"{name}: was tested on other posts, or in other folds, than the workspace; leave it out, or "
                "`dvc exp apply` an experiment on the same posts first"
            )
    hashes = {
        Path(out["path"]).name: out["md5"]
        for arm in ARMS
        for out in locked[f"train_{arm}"]["outs"]
        if out["path"] == str(PREDICTIONS / arm)
    }
    embedding = locked["train_dense"]["params"]["params.yaml"]["featurize_dense.embedding"]
    evaluated = locked["evaluate"]["params"]["params.yaml"]["evaluate"]
    return Experiment(name, embedding, arms, hashes, cost, (evaluated["threshold"], evaluated["calibrate"]))


def check_lock() -> None:
    """Raise :class:`UserError` where the arms were trained without DVC, so that dvc.lock is of other predictions."""
    for stage, changes in changed_stages(*(f"train_{arm}" for arm in ARMS)).items():
        if any("changed outs" in change for change in changes):
            raise UserError(f"{WORKSPACE}: dvc.lock does not have what {stage} wrote last; run `dvc repro`")


def fetch(name: str, folder: Path) -> Path:
    """Copy what is compared of an experiment or commit into a folder, from git and DVC's cache."""
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException
    from dvc.scm import RevError
    from dvc_data.index import DataIndexDirError

    try:
        files = DVCFileSystem(rev=name)
        for path in ("dvc.lock", str(PLOTS / "cost.csv"), *(str(PREDICTIONS / arm) for arm in ARMS)):
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            files.get(path, str(target), recursive=True)
    except RevError:
        raise UserError(f"{name}: no such experiment or commit; `dvc exp list` names the experiments") from None
    except (DvcException, DataIndexDirError, OSError) as problem:
        if is_disk_full(problem):
            raise
        reason = " ".join(str(problem).split())
        raise UserError(
            f"{name}: its predictions are not in DVC's cache ({reason}); run the experiment again"
        ) from None
    return folder


class Candidate(NamedTuple):
    """A system of an experiment."""

    system: System
    multiply_adds: float  # of a post
    problem: str | None  # why it has not converged


def gather_systems(
    corpus: Corpus, experiments: list[Experiment], threshold: str | float, calibrate: str
) -> dict[str, Candidate]:
    """The different systems of experiments, by name: arms, fusions, and the control of the arm that is best on valid.

    All are decided by one ``threshold`` and ``calibrate``, so that predictions are compared; a line says which
    experiments have others. Equal predictions are one system. See :func:`name_arms`.
    """
    assessor = Assessor(corpus, threshold, calibrate)
    name_of = name_arms(experiments)
    arms: dict[str, Predictions] = {}
    candidates: dict[str, Candidate] = {}
    for experiment in experiments:
        if experiment.decides_by != (threshold, calibrate):
            own = "evaluate.threshold={}, evaluate.calibrate={}".format(*experiment.decides_by)
            print_visible(f"{experiment.name}: scored as the workspace is, not by its own {own}")
        for arm, predictions in experiment.arms.items():
            name = name_of[experiment.hashes[arm]]
            if name not in candidates:
                cost = experiment.cost.loc[arm, "multiply_adds"]
                candidates[name] = Candidate(assessor.arm(predictions), cost, predictions.problem)
                arms[name] = predictions
        dense, sparse = experiment.arms["dense"], experiment.arms["sparse"]
        name = " + ".join(name_of[experiment.hashes[arm]] for arm in ("sparse", "dense"))
        if name not in candidates:
            fusion, _ = assessor.fusion(dense, sparse)
            cost = experiment.cost.loc[FUSION, "multiply_adds"]
            candidates[name] = Candidate(fusion, cost, dense.problem or sparse.problem)
    best = max(arms, key=lambda name: candidates[name].system.valid_micro_f1())
    if control := assessor.control(arms[best]):
        candidates[f"two runs of {best}"] = Candidate(control, 2 * candidates[best].multiply_adds, arms[best].problem)
    return candidates


def name_arms(experiments: list[Experiment]) -> dict[str, str]:
    """A name for each arm, by the hash of its predictions: its embedding, with the experiment where several have it."""
    origins: dict[str, tuple[str, str]] = {}
    for experiment in experiments:
        for arm, embedding in (("dense", experiment.embedding), ("sparse", "TF-IDF")):
            origins.setdefault(experiment.hashes[arm], (embedding, experiment.name))
    several = Counter(embedding for embedding, _ in origins.values())
    return {
        digest: embedding if several[embedding] == 1 else f"{embedding} ({experiment})"
        for digest, (embedding, experiment) in origins.items()
    }
