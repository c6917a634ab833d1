"""Trained models on any texts: each arm and their fusion, and the words that are evidence for a tag."""

from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tagstudy.core.corpus import Text
from tagstudy.core.paths import FUSION
from tagstudy.data.text import tokenize
from tagstudy.inference.models import Scores, open_models

BATCH = 256  # posts at a time
WORDS = 200  # of a text that are left out in turn
SHOWN_WORDS = 5  # of a tag
WEAK, NOTHING = 1 / 3, 0.05  # falls of a logit that are not shown: below this fraction of the largest, and below this
SHOWN_TAGS = 30  # of a text, with their evidence


class Explanation(NamedTuple):
    """The best tags of a text."""

    known: bool  # whether the text has a word of the vocabulary
    tags: dict[str, list[dict[str, Any]]]  # of each system, the most probable first


class Predictor:
    """Tags for posts, by the models in a folder: a finished study, or what src/ship.py writes.

    ``systems`` are the arms that the folder has, and their fusion if it has both; ``system``, the last one, is the one
    that tags are taken from. ``device`` is where a sentence encoder runs; all else runs on the CPU. A frozen encoder
    encodes batches side by side, for which torch is set to one thread in the whole process. Raises
    FileNotFoundError where a stage has not run, and :class:`UserError` where features, models and thresholds do not
    belong together or are damaged.
    """

    def __init__(self, folder: str | Path = ".", device: str = "auto") -> None:
        self.arms, (self.decisions, self.dense_weight) = open_models(Path(folder), device)
        self.systems = (*self.arms, FUSION) if len(self.arms) > 1 else tuple(self.arms)
        self.system = self.systems[-1]
        self.names = next(iter(self.arms.values())).tags

    def scores(self, texts: list[Text], calibrated: bool = True) -> dict[str, Scores]:
        """The scores of each system; without ``calibrated`` its probabilities are those that the losses stand for."""
        by_system = {name: arm.scores(texts) for name, arm in self.arms.items()}
        if FUSION in self.systems:
            dense, sparse = by_system.values()
            weight = self.dense_weight
            logits, probabilities = (weight * a + (1 - weight) * b for a, b in zip(dense[:2], sparse[:2], strict=True))
            by_system[FUSION] = Scores(logits, probabilities, dense.known | sparse.known)
        if not calibrated:
            return by_system
        tags = np.arange(len(self.names))
        return {
            name: scores._replace(probabilities=self.decisions[name].probabilities(scores.probabilities, tags))
            for name, scores in by_system.items()
        }

    def tags(self, posts: Iterable[str], system: str | None = None) -> list[dict[str, float]]:
        """For each post its predicted tags and their probabilities, the most probable first.

        ``posts`` are plain text; the first line of a post is its title. Raises TypeError where a post is not a string,
        and ValueError where it holds a lone surrogate, which cannot be encoded.
        """
        if isinstance(posts, str):
            raise TypeError("posts is a list of texts, not one text")
        system = system or self.system
        texts = (Text(*checked_text(post).partition("\n")[::2]) for post in posts)
        rows: list[dict[str, float]] = []
        while batch := list(islice(texts, BATCH)):
            rows += map(dict, self.predicted(self.scores(batch)[system], system))
        return rows

    def predicted(self, scores: Scores, system: str, digits: int = 4) -> list[list[tuple[str, float]]]:
        """The predicted tags of each post with their probabilities, the most probable first."""
        rows = []
        for row, decided in zip(scores.probabilities, self.decided(scores, system), strict=True):
            tags = np.flatnonzero(decided)
            tags = tags[np.argsort(-row[tags], kind="stable")]
            rows.append([(self.names[tag], round(float(row[tag]), digits)) for tag in tags])
        return rows

    def decided(self, scores: Scores, system: str) -> np.ndarray:
        """[posts, tags] Whether each tag is predicted: none for a post that has no known word."""
        decision = self.decisions[system]
        if decision.top is None:
            decided = scores.probabilities >= np.float64(decision.threshold)  # exact, as in evaluation
        else:
            best = np.argsort(-scores.logits, axis=1, kind="stable")[:, : decision.top]
            decided = np.zeros(scores.logits.shape, dtype=bool)
            np.put_along_axis(decided, best, True, axis=1)
        return decided & scores.known[:, None]

    def explain(self, text: Text) -> Explanation:
        """For each system its best tags, the most probable first, each with the words that are evidence for it.

        Lists all predicted tags first, then others, SHOWN_TAGS at least. A word's evidence for a tag is how far the
        tag's logit falls without it (erasure; Li, Monroe and Jurafsky, 2016); see :func:`evidence`.
        """
        words, variants = leave_out_each_word(text)
        by_system = self.scores([text, *variants])
        explained = {}
        for name, (logits, probabilities, _) in by_system.items():
            decided = self.decided(by_system[name], name)[0]
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
        return Explanation(bool(by_system[self.system].known[0]), explained)


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


def checked_text(post: str) -> str:
    """The post, if it is a string that can be encoded."""
    if not isinstance(post, str):
        raise TypeError(f"a post is a string, not {post!r:.50}")
    post.encode()  # raises UnicodeEncodeError, which is a ValueError
    return post
