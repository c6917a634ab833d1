"""What `dvc repro` has trained, on any texts: both arms and their fusion, and which words speak for a tag."""

from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from tagstudy.core.files import read_json
from tagstudy.core.paths import ARMS, FEATURES, METRICS, MODELS, POSTS
from tagstudy.data.text import tokenize
from tagstudy.evaluation.fusion import Answer, mean
from tagstudy.features.transform import open_vectorizer
from tagstudy.model.losses import LOSSES
from tagstudy.model.training import build, to

SYSTEMS = [*ARMS, "fusion"]
WORDS = 200  # of a text that are left out in turn
TOLD = 5  # words of a tag


class Arm:
    """The first run of an arm."""

    def __init__(self, name: str) -> None:
        about = read_json(MODELS / name / "model.json")
        self.loss = LOSSES[about["loss"]]
        self.network = build(about["network"]).eval()
        self.network.load_state_dict(load_file(MODELS / name / f"run-{about['seeds'][0]}" / "weights.safetensors"))
        self.vectorize = open_vectorizer(FEATURES / ARMS[name])

    @torch.no_grad()
    def answer(self, texts: list[str]) -> Answer:
        logits = self.network(*to(torch.device("cpu"), self.vectorize(texts)))
        return Answer(logits.numpy(), self.loss.probability(logits).numpy())


class Study:
    """Both arms and their fusion, each by its first run, at its threshold in metrics/prediction.json."""

    def __init__(self) -> None:
        self.arms = {name: Arm(name) for name in ARMS}
        self.tags: list[str] = read_json(POSTS / "tags.json")
        about = read_json(METRICS / "prediction.json")
        self.thresholds: dict[str, float] = {name: own[0] for name, own in about["thresholds"].items()}
        self.dense_share: float = about["dense_shares"][0]

    def answers(self, texts: list[str]) -> dict[str, Answer]:
        """What each of SYSTEMS says."""
        dense, sparse = (arm.answer(texts) for arm in self.arms.values())
        return {"dense": dense, "sparse": sparse, "fusion": mean(dense, sparse, self.dense_share)}

    def explain(self, text: str) -> dict[str, list[dict[str, Any]]]:
        """For each of SYSTEMS all tags from the most probable down, each with the words that speak most for it.

        A word speaks for a tag by as much as the tag's logit falls without it (erasure; Li, Monroe and Jurafsky, 2016).
        """
        words, texts = leave_out_each_word(text)
        told = {}
        for name, (logits, probabilities) in self.answers([text, *texts]).items():
            falls = logits[1] - logits[2:]  # [words, tags]
            told[name] = [
                {
                    "tag": self.tags[tag],
                    "probability": round(float(probabilities[0, tag]), 4),
                    "given": bool(probabilities[0, tag] >= self.thresholds[name]),
                    "words": [words[word] for word in np.argsort(-falls[:, tag])[:TOLD] if falls[word, tag] > 0],
                }
                for tag in np.lexsort([-logits[0], -probabilities[0]])  # many a probability is 0
            ]
        return told


def leave_out_each_word(text: str) -> tuple[list[str], list[str]]:
    """The different words of a text, the first WORDS of them; its words alone, and these without each one in turn."""
    lines = [tokenize(line) for line in text.split("\n")]  # the first is the title
    words = list(dict.fromkeys(word for line in lines for word in line))[:WORDS]
    return words, ["\n".join(" ".join(w for w in line if w != gone) for line in lines) for gone in (None, *words)]
