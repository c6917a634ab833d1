"""The models of a finished study on any texts: each arm and their fusion, and the words that are evidence for a tag."""

from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file

from tagstudy.core.checksums import check_made_from, checked
from tagstudy.core.corpus import Text
from tagstudy.core.files import read_json
from tagstudy.core.paths import ARMS, DECISIONS, FEATURES, METRICS, MODELS, features_of_fold
from tagstudy.data.text import tokenize
from tagstudy.features.vectorizer import open_vectorizer
from tagstudy.model.batches import to
from tagstudy.model.network import build
from tagstudy.predictions.decisions import read_decisions
from tagstudy.predictions.links import PROBABILITIES

SYSTEMS = (*ARMS, "fusion")
BATCH = 256  # posts at a time
WORDS = 200  # of a text that are left out in turn
SHOWN_WORDS = 5  # of a tag
WEAK, NOTHING = 1 / 3, 0.05
SHOWN_TAGS = 30  # of a text, with their evidence


class Scores(NamedTuple):
    """What a system says of some posts."""

    logits: np.ndarray  # [posts, tags]
    probabilities: np.ndarray  # [posts, tags]
    known: np.ndarray  # [posts] whether the post has a word of the vocabulary; an encoder knows every post


class Arm:
    """The network of an arm's first run, on the CPU, and what makes its features."""

    def __init__(self, study: Path, name: str, device: str) -> None:
        folder, features = study / MODELS / name, study / FEATURES / ARMS[name]
        check_made_from(folder, features)
        model = read_json(folder / "model.json")
        self.tags: list[str] = model["tags"]
        self.loss: str = model["loss"]
        # First, because it says so if the encoder is another one now.
        self.vectorize = open_vectorizer(features_of_fold(features, model["runs"][0]["fold"]), device)
        run = folder / "run-0"
        self.network = build(read_json(run / "network.json")).eval()
        self.network.load_state_dict(load_file(checked(run / "weights.safetensors")))

    @torch.no_grad()
    def scores(self, texts: list[Text]) -> Scores:
        batch = self.vectorize(texts)
        logits = self.network(*to(torch.device("cpu"), batch)).numpy()
        known = np.diff(batch[1]) > 0 if len(batch) == 3 else np.ones(len(texts), dtype=bool)
        return Scores(logits, PROBABILITIES[self.loss](logits), known)


class Predictor:
    """Tags for posts, by each of SYSTEMS and its decisions; the models are those of the study in a folder.

    ``device`` is where a frozen encoder runs; all else runs on the CPU. Raises FileNotFoundError where a stage has not
    run, and :class:`UserError` where features, models and thresholds do not belong together or are damaged.
    """

    def __init__(self, study: str | Path = ".", device: str = "auto") -> None:
        study = Path(study)
        self.arms = {name: Arm(study, name, device) for name in ARMS}
        self.names = self.arms["dense"].tags
        check_made_from(study / METRICS, study / DECISIONS)
        check_made_from(study / DECISIONS, *(study / MODELS / name for name in ARMS))
        self.decisions, self.dense_weight = read_decisions(study / DECISIONS / "run-0.json")

    def scores(self, texts: list[Text]) -> dict[str, Scores]:
        """The scores of each of SYSTEMS."""
        dense, sparse = (arm.scores(texts) for arm in self.arms.values())
        weight = self.dense_weight
        logits, probabilities = (weight * a + (1 - weight) * b for a, b in zip(dense[:2], sparse[:2], strict=True))
        fusion = Scores(logits, probabilities, dense.known | sparse.known)
        tags = np.arange(len(self.names))
        return {
            name: scores._replace(probabilities=self.decisions[name].probabilities(scores.probabilities, tags))
            for name, scores in {"dense": dense, "sparse": sparse, "fusion": fusion}.items()
        }

    def tags(self, posts: Iterable[str], system: str = "fusion") -> list[dict[str, float]]:
        """For each post its predicted tags and their probabilities, the most probable first.

        ``posts`` are plain text; the first line of a post is its title.
        """
        texts = (Text(*post.partition("\n")[::2]) for post in posts)
        rows: list[dict[str, float]] = []
        while batch := list(islice(texts, BATCH)):
            rows += map(dict, self.predicted(self.scores(batch)[system], system))
        return rows

    def predicted(self, scores: Scores, system: str) -> list[list[tuple[str, float]]]:
        """The predicted tags of each post with their probabilities, the most probable first."""
        rows = []
        for row, decided in zip(scores.probabilities, self.decided(scores, system), strict=True):
            tags = np.flatnonzero(decided)
            tags = tags[np.argsort(-row[tags], kind="stable")]
            rows.append([(self.names[tag], round(float(row[tag]), 4)) for tag in tags])
        return rows

    def decided(self, scores: Scores, system: str) -> np.ndarray:
        """[posts, tags] Whether each tag is predicted: none for a post that has no known word."""
        decision = self.decisions[system]
        if decision.top is None:
            decided = scores.probabilities >= decision.threshold
        else:
            best = np.argsort(-scores.logits, axis=1, kind="stable")[:, : decision.top]
            decided = np.zeros(scores.logits.shape, dtype=bool)
            np.put_along_axis(decided, best, True, axis=1)
        return decided & scores.known[:, None]

    def explain(self, text: Text) -> dict[str, list[dict[str, Any]]]:
        """For each of SYSTEMS its best tags, the most probable first, each with the words that are evidence for it.

        All predicted tags are shown, and the best SHOWN_TAGS; the predicted ones first. A word is evidence for a tag by
        as much as the tag's logit falls without it (erasure; Li, Monroe and Jurafsky, 2016); see :func:`evidence`.
        """
        words, variants = leave_out_each_word(text)
        explained = {}
        for name, scores in self.scores([text, *variants]).items():
            logits, probabilities, _ = scores
            decided = self.decided(scores, name)[0]
            falls = logits[1] - logits[2:]  # [words, tags]
            best = np.lexsort([-logits[0], -probabilities[0], ~decided])  # many a probability may be 0
            shown = max(SHOWN_TAGS, int(decided.sum()))
            explained[name] = [
                {
                    "tag": self.names[tag],
                    "probability": round(float(probabilities[0, tag]), 4),
                    "predicted": bool(decided[tag]),
                    "words": evidence(words, falls[:, tag]),
                }
                for tag in best[:shown]
            ]
        return explained


def evidence(words: list[str], falls: np.ndarray) -> list[dict[str, Any]]:
    """The words that matter most for a tag, and by how much: ``falls`` [words] of its logit without each of them.

    What is less than WEAK of the highest fall, or less than NOTHING, is left out: mostly function words.
    """
    least = max(WEAK * falls.max(initial=0), NOTHING)
    best = [word for word in np.argsort(-falls, kind="stable")[:SHOWN_WORDS] if falls[word] >= least]
    return [{"word": words[word], "weight": round(float(falls[word]), 2)} for word in best]


def leave_out_each_word(text: Text) -> tuple[list[str], list[Text]]:
    """The different words of a text, the first WORDS of them; its words alone, and these without each one in turn."""
    parts = [tokenize(part) for part in text]
    words = list(dict.fromkeys(word for part in parts for word in part))[:WORDS]
    return words, [Text(*(" ".join(w for w in part if w != gone) for part in parts)) for gone in (None, *words)]
