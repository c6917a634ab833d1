"""Train an arm once more, on more posts, for the mean of its runs' best epochs: no valid posts are needed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tagstudy.core.config import Train
from tagstudy.core.corpus import Corpus
from tagstudy.core.errors import UserError
from tagstudy.core.store import open_matrix
from tagstudy.model.batches import Posts
from tagstudy.model.convergence import Budget
from tagstudy.model.mlp import MLP
from tagstudy.model.network import merge_subwords, new_network
from tagstudy.model.training import Run, progress_bar


def epochs_of(runs: Sequence[dict[str, Any]], arm: str, remedy: str) -> int:
    """The mean of the runs' best epochs, as model.json lists them.

    Raises :class:`UserError` with the remedy where they have learned nothing.
    """
    epochs = round(sum(run["epoch"] for run in runs) / len(runs))
    if epochs == 0:
        raise UserError(f"the {arm} arm has learned nothing; {remedy}")
    return epochs


def refit(corpus: Corpus, features: Path, settings: Train, studied: int, epochs: int) -> tuple[MLP, dict[str, Any]]:
    """A network trained on the train posts of the first fold of ``corpus``; returns it, on the CPU, and what it is.

    The learning rates fall as they did in the study, whose runs were trained on ``studied`` posts.

    features: the folder of the features of all posts
    epochs: how many of the study's budget
    """
    posts = Posts(open_matrix(features / "matrix"), corpus.labels, corpus.rows("train", fold=0))
    model, network = new_network(settings, features, posts, len(corpus.tags), settings.seed)
    budget = Budget.of(studied, settings)
    run = Run(model, posts, posts, settings.model_copy(update={"epochs": budget.epochs, "min_steps": 1}), settings.seed)
    with progress_bar(run, epochs) as bar:
        for epoch in range(1, epochs + 1):
            run.train_epoch(epoch, bar)
    merge_subwords(model)
    return model.cpu().eval(), network
