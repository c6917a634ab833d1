"""A trained arm on any texts: its probabilities, its threshold, and which words speak for a tag."""

from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from losses import LOSSES
from stage import ARMS, FEATURES, METRICS, MODELS, POSTS, read_json
from text import tokenize
from training import build, to
from vectorize import open_vectorizer

WORDS = 200  # of a text that are left out in turn
TOLD = 5  # words of a tag


class Arm:
    """The first run of an arm, at its threshold in metrics/thresholds.json."""

    def __init__(self, name: str) -> None:
        about = read_json(MODELS / name / "model.json")
        self.tags: list[str] = read_json(POSTS / "tags.json")
        self.threshold: float = read_json(METRICS / "thresholds.json")[name][0]
        self.loss = LOSSES[about["loss"]]
        self.network = build(about["network"]).eval()
        self.network.load_state_dict(load_file(MODELS / name / f"run-{about['seeds'][0]}" / "weights.safetensors"))
        self.vectorize = open_vectorizer(FEATURES / ARMS[name])

    @torch.no_grad()
    def logits(self, texts: list[str]) -> Tensor:
        """[texts, tags]"""
        return self.network(*to(torch.device("cpu"), self.vectorize(texts)))

    def probabilities(self, texts: list[str]) -> np.ndarray:
        """[texts, tags]"""
        return self.loss.probability(self.logits(texts)).numpy()

    def explain(self, text: str) -> list[dict[str, Any]]:
        """All tags from the most probable down, each with the words that speak most for it.

        A word speaks for a tag by as much as the tag's logit falls without it (erasure; Li, Monroe and Jurafsky, 2016).
        """
        words, texts = leave_out_each_word(text)
        logits = self.logits([text, *texts])
        probabilities = self.loss.probability(logits[0]).numpy()
        falls = (logits[1] - logits[2:]).numpy()  # [words, tags]
        return [
            {
                "tag": self.tags[tag],
                "probability": round(float(probabilities[tag]), 4),
                "given": bool(probabilities[tag] >= self.threshold),
                "words": [words[word] for word in np.argsort(-falls[:, tag])[:TOLD] if falls[word, tag] > 0],
            }
            for tag in np.argsort(-logits[0].numpy(), kind="stable")
        ]


def leave_out_each_word(text: str) -> tuple[list[str], list[str]]:
    """The different words of a text, the first WORDS of them; its words alone, and these without each one in turn."""
    lines = [tokenize(line) for line in text.split("\n")]  # the first is the title
    words = list(dict.fromkeys(word for line in lines for word in line))[:WORDS]
    return words, ["\n".join(" ".join(w for w in line if w != gone) for line in lines) for gone in (None, *words)]
