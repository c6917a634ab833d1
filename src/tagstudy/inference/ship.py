"""From a finished study to a folder of models for use: each arm trained again, on more posts, beside all that it needs.

out: shipped.json (tags, losses), decisions.json, README.md, a model card; for each arm a folder with its weights, its
     network and what makes features of any text. Predictor opens it.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

from tagstudy.core.checksums import SUMS, check_made_from, checksum
from tagstudy.core.config import Params
from tagstudy.core.corpus import Corpus
from tagstudy.core.errors import UserError
from tagstudy.core.files import read_json, write_json
from tagstudy.core.paths import ARMS, FEATURES, MODELS, POSTS, PREDICTIONS, features_of_fold
from tagstudy.evaluation.systems import Assessor
from tagstudy.features.dense import write_dense
from tagstudy.features.tfidf import write_tfidf
from tagstudy.inference.card import model_card
from tagstudy.inference.models import FORMAT, SHIPPED
from tagstudy.model.network import write_network
from tagstudy.model.refit import epochs_of, refit
from tagstudy.predictions.decisions import write_decisions
from tagstudy.predictions.predictions import Predictions

FOR_TEXTS = ("vectorizer.json", "vocabulary.json", "idf.npy")  # of the features, what other texts need


class Study(NamedTuple):
    """A finished study in the working directory, and which of it is used."""

    params: Params
    corpus: Corpus
    cache: Path | None  # of encoded texts
    runs: Sequence[int]  # that epochs and decisions come from
    chosen: np.ndarray  # [posts] whether each post is trained on
    sums: list[str]  # which study it is

    @classmethod
    def open(cls, params: Params, cache: Path | None, all_posts: bool) -> "Study":
        """``all_posts``: trained on all, with what all runs found. Otherwise on train and valid of the first fold."""
        sums = study_sums()  # before anything is read
        corpus = Corpus(POSTS)
        chosen = np.ones(len(corpus), dtype=bool) if all_posts else corpus.is_in("train", 0) | corpus.is_in("valid", 0)
        return cls(params, corpus, cache, runs_of(None if all_posts else 0), chosen, sums)


def study_sums() -> list[str]:
    """The checksums of the posts and of all that was made of them: a stage that runs again changes one.

    A folder that is missing, as while its stage runs, has none.
    """
    folders = [POSTS, *(folder / arm for arm in ARMS for folder in (MODELS, PREDICTIONS))]
    paths = [folder / SUMS for folder in [*folders, *(FEATURES / name for name in ARMS.values())]]
    return [checksum(path) if path.exists() else "" for path in paths]


def runs_of(fold: int | None) -> list[int]:
    """The numbers of the runs that both arms have, of one fold or of all; extra runs of one arm are ignored."""
    of_arms = [read_json(MODELS / arm / "model.json")["runs"] for arm in ARMS]
    return [number for number, runs in enumerate(zip(*of_arms, strict=False)) if fold in (None, runs[0]["fold"])]


def ship(folder: Path, study: Study, arms: Sequence[str], licence: str | None) -> str:
    """Train the arms again and write them into an empty folder. Returns a line that says so.

    Raises :class:`UserError` where an arm has learned nothing, where features and models do not belong together, when
    the loss is NaN or infinite, and where a stage of the study has run meanwhile.
    """
    corpus, params = study.corpus, study.params
    epochs = {arm: study_epochs(arm, study) for arm in arms}
    for arm in arms:
        ship_arm(folder / arm, arm, study, epochs[arm])
    assessor = Assessor(corpus, params.evaluate.threshold, params.evaluate.calibrate)
    predictions = {arm: Predictions(PREDICTIONS / arm) for arm in arms}
    write_decisions(folder / "decisions.json", assessor.pooled_decisions(predictions, study.runs))
    losses = {arm: getattr(params, f"train_{arm}").loss for arm in arms}
    write_json(folder / SHIPPED, {"format": FORMAT, "tags": corpus.tags, "losses": losses})
    posts = int(study.chosen.sum())
    (folder / "README.md").write_text(model_card(corpus, params, epochs, posts, licence), encoding="utf-8")
    if study_sums() != study.sums:
        raise UserError("a stage of the study has run while its arms were trained; run `python src/ship.py` again")
    trained = " and ".join(f"the {arm} arm for {count} epochs" for arm, count in epochs.items())
    return f"trained {trained}, on {posts:,} posts"


def study_epochs(arm: str, study: Study) -> int:
    """For how many epochs an arm is trained again."""
    check_made_from(MODELS / arm, POSTS, FEATURES / ARMS[arm])
    model = read_json(MODELS / arm / "model.json")
    return epochs_of([model["runs"][run] for run in study.runs], arm, model["remedy"])


def ship_arm(folder: Path, arm: str, study: Study, epochs: int) -> None:
    """Train an arm and write it into a new folder."""
    features, corpus = FEATURES / ARMS[arm], study.corpus
    studied = int(corpus.is_in("train", fold=0).sum())
    folder.mkdir()
    with TemporaryDirectory(dir=folder.parent) as scratch:
        again = corpus.training_on(study.chosen)
        if features_of_fold(features, fold=0) != features:  # they depend on which posts are in train
            features = write_features(Path(scratch), arm, again, study.params, study.cache)
        model, network = refit(again, features, getattr(study.params, f"train_{arm}"), studied, epochs)
        write_network(folder, model, network)
        for name in FOR_TEXTS:
            if (features / name).exists():
                shutil.copy(features / name, folder / name)


def write_features(folder: Path, arm: str, corpus: Corpus, params: Params, cache: Path | None) -> Path:
    """Write an arm's features for a corpus of one fold; returns their folder."""
    if arm == "sparse":
        write_tfidf(folder, corpus, params.featurize_tfidf, params.compute)
    else:
        write_dense(folder, corpus, params.featurize_dense, params.train.device, cache)
    return features_of_fold(folder, fold=0)
