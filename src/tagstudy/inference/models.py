"""The models in a folder, of a finished study or shipped: the network of each arm, and what makes its features."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file

from tagstudy.core.checksums import SUMS, check_made_from, check_whole, checked
from tagstudy.core.corpus import Text
from tagstudy.core.device import choose_device
from tagstudy.core.errors import UserError
from tagstudy.core.files import read_json
from tagstudy.core.paths import ARMS, DECISIONS, FEATURES, METRICS, MODELS, features_of_fold
from tagstudy.features.vectorizer import open_vectorizer
from tagstudy.model.batches import to
from tagstudy.model.network import build, open_encoder
from tagstudy.predictions.decisions import RunDecisions, read_decisions
from tagstudy.predictions.links import PROBABILITIES

SHIPPED = "shipped.json"  # which a shipped folder has, and no study
FORMAT = 2  # of a shipped folder
AGAIN = "copy it again, or ship it again with src/ship.py"


class Scores(NamedTuple):
    """What a system says of some posts."""

    logits: np.ndarray  # [posts, tags]
    probabilities: np.ndarray  # [posts, tags]
    known: np.ndarray  # [posts] whether the post has a word of the vocabulary; a frozen encoder knows every post


class Arm:
    """The trained network of an arm, and what makes its features."""

    def __init__(self, tags: list[str], loss: str, network: Path, features: Path, device: str) -> None:
        """``network`` and ``features`` are folders.

        A sentence encoder runs on ``device``, a value of `train.device`, and so does the network that it is within; all
        else runs on the CPU.
        """
        self.tags, self.loss, self.features = tags, loss, features
        described = read_json(network / "network.json")
        encoder = open_encoder(described)
        self.vectorize = open_vectorizer(features, device, encoder)  # says so if the encoder is another one now
        self.device = choose_device(device) if encoder else torch.device("cpu")
        self.network = build(described, encoder).to(self.device).eval()
        self.network.load_state_dict(load_file(checked(network / "weights.safetensors")))

    @torch.no_grad()
    def scores(self, texts: list[Text]) -> Scores:
        """Of the texts; probabilities are not calibrated."""
        batch = self.vectorize(texts)
        logits = self.network(*to(self.device, batch)).cpu().numpy()
        known = np.diff(batch[1]) > 0 if len(batch) == 3 else np.ones(len(texts), dtype=bool)  # 3: CSR
        return Scores(logits, PROBABILITIES[self.loss](logits), known)


def open_models(folder: Path, device: str) -> tuple[dict[str, Arm], RunDecisions]:
    """The arms in a folder and what is decided by. Raises :class:`UserError` where parts do not belong together."""
    if (folder / SHIPPED).exists():
        return open_shipped(folder, device)
    if (folder / SUMS).exists():  # which a study has in its folders alone
        raise UserError(f"{folder / SHIPPED}: missing; {AGAIN}")
    return open_study(folder, device)


def open_study(folder: Path, device: str) -> tuple[dict[str, Arm], RunDecisions]:
    """Both arms of a finished study, each by its first run."""
    arms = {name: arm_of_study(folder, name, device) for name in ARMS}
    check_made_from(folder / METRICS, folder / DECISIONS)
    check_made_from(folder / DECISIONS, *(folder / MODELS / name for name in ARMS))
    return arms, read_decisions(folder / DECISIONS / "run-0.json")


def arm_of_study(folder: Path, name: str, device: str) -> Arm:
    models, features = folder / MODELS / name, folder / FEATURES / ARMS[name]
    check_made_from(models, features)
    model = read_json(models / "model.json")
    features_folder = features_of_fold(features, model["runs"][0]["fold"])
    return Arm(model["tags"], model["loss"], models / "run-0", features_folder, device)


def open_shipped(folder: Path, device: str) -> tuple[dict[str, Arm], RunDecisions]:
    check_whole(folder, AGAIN)
    shipped = read_json(folder / SHIPPED)
    if shipped["format"] != FORMAT:
        raise UserError(f"{folder}: shipped by another version of this project; ship it again with src/ship.py")
    arms = {
        name: Arm(shipped["tags"], loss, folder / name, folder / name, device)
        for name, loss in shipped["losses"].items()
    }
    return arms, read_decisions(folder / "decisions.json")
