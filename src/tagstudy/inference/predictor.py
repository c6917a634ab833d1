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
from tagstudy.core.paths import ARMS, FEATURES, METRICS, MODELS, features_of_fold
from tagstudy.data.text import tokenize
from tagstudy.features.vectorizer import open_vectorizer
from tagstudy.model.batches import to
from tagstudy.model.network import build
from tagstudy.predictions.links import PROBABILITIES

SYSTEMS = (*ARMS, "fusion")
BATCH = 256  # posts at a time
WORDS = 200  # of a text that are left out in turn
SHOWN_WORDS = 5  # of a tag
SHOWN_TAGS = 30  # of a text, with their evidence


class Scores(NamedTuple):
    """What a system says of some posts, each [posts, tags]."""

    logits: np.ndarray
    probabilities: np.ndarray


class Arm:
    """The network of an arm's first run, on the CPU, and what makes its features."""

    def __init__(self, study: Path, name: str, device: str) -> None:
        folder, features = study / MODELS / name, study / FEATURES / ARMS[name]
        check_made_from(folder, features)
        model = read_json(folder / "model.json")
        self.tags: list[str] = model["tags"]
        self.loss: str = model["loss"]
        run = folder / "run-0"
        self.network = build(read_json(run / "network.json")).eval()
        self.network.load_state_dict(load_file(checked(run / "weights.safetensors")))
        self.vectorize = open_vectorizer(features_of_fold(features, model["runs"][0]["fold"]), device)

    @torch.no_grad()
    def scores(self, texts: list[Text]) -> Scores:
        logits = self.network(*to(torch.device("cpu"), self.vectorize(texts))).numpy()
        return Scores(logits, PROBABILITIES[self.loss](logits))


class Predictor:
    """Tags for posts, by each of SYSTEMS at its threshold; the models are those of the study in a folder.

    ``device`` is where a frozen encoder runs; all else runs on the CPU. Raises FileNotFoundError where a stage has not
    run, and :class:`UserError` where features, models and thresholds do not belong together or are damaged.
    """

    def __init__(self, study: str | Path = ".", device: str = "auto") -> None:
        study = Path(study)
        self.arms = {name: Arm(study, name, device) for name in ARMS}
        self.names = self.arms["dense"].tags
        check_made_from(study / METRICS, *(study / MODELS / name for name in ARMS))
        decisions = read_json(study / METRICS / "prediction.json")
        self.thresholds: dict[str, float] = {name: runs[0] for name, runs in decisions["thresholds"].items()}
        self.dense_weight: float = decisions["dense_weights"][0]

    def scores(self, texts: list[Text]) -> dict[str, Scores]:
        """The scores of each of SYSTEMS."""
        dense, sparse = (arm.scores(texts) for arm in self.arms.values())
        weight = self.dense_weight
        fusion = Scores(*(weight * a + (1 - weight) * b for a, b in zip(dense, sparse, strict=True)))
        return {"dense": dense, "sparse": sparse, "fusion": fusion}

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
        """The tags whose probability is at least the system's threshold, with it, the most probable first."""
        rows = []
        for row in scores.probabilities:
            above = np.flatnonzero(row >= self.thresholds[system])
            above = above[np.argsort(-row[above], kind="stable")]
            rows.append([(self.names[tag], round(float(row[tag]), 4)) for tag in above])
        return rows

    def explain(self, text: Text) -> dict[str, list[dict[str, Any]]]:
        """For each of SYSTEMS its best tags, the most probable first, each with the words that are evidence for it.

        All predicted tags are shown, and the best SHOWN_TAGS. A word is evidence for a tag by as much as the tag's
        logit falls without it (erasure; Li, Monroe and Jurafsky, 2016).
        """
        words, variants = leave_out_each_word(text)
        explained = {}
        for name, (logits, probabilities) in self.scores([text, *variants]).items():
            falls = logits[1] - logits[2:]  # [words, tags]
            best = np.lexsort([-logits[0], -probabilities[0]])  # many a probability is 0
            shown = max(SHOWN_TAGS, int((probabilities[0] >= self.thresholds[name]).sum()))
            explained[name] = [
                {
                    "tag": self.names[tag],
                    "probability": round(float(probabilities[0, tag]), 4),
                    "predicted": bool(probabilities[0, tag] >= self.thresholds[name]),
                    "words": [words[word] for word in np.argsort(-falls[:, tag])[:SHOWN_WORDS] if falls[word, tag] > 0],
                }
                for tag in best[:shown]
            ]
        return explained


def leave_out_each_word(text: Text) -> tuple[list[str], list[Text]]:
    """The different words of a text, the first WORDS of them; its words alone, and these without each one in turn."""
    parts = [tokenize(part) for part in text]
    words = list(dict.fromkeys(word for part in parts for word in part))[:WORDS]
    return words, [Text(*(" ".join(w for w in part if w != gone) for part in parts)) for gone in (None, *words)]
