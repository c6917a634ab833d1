"""From settings and features to the network of an arm, and from its network.json back to it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import save

from tagstudy.core.checksums import checked
from tagstudy.core.config import EncoderSettings, Train
from tagstudy.core.device import choose_device
from tagstudy.core.files import read_json, write_json
from tagstudy.core.store import CsrMatrix
from tagstudy.model.batches import Posts
from tagstudy.model.embedding import CsrEmbedding, SubwordEmbedding
from tagstudy.model.mlp import MLP

if TYPE_CHECKING:
    from tagstudy.encoders.encoder import Encoder

# A skip connection over terms has a weight for each term and tag: at most so many (256 MB), or the most frequent terms
# alone have some. With as many weights a low rank loses more on biology's 662 tags, and less on 100 tags of titles:
# benchmarks/skip.csv.
SKIP_WEIGHTS = 2**26


def describe_network(settings: Train, features: dict[str, Any], tags: int) -> dict[str, Any]:
    """What :func:`build` takes, for features as their features.json describes them."""
    over_terms = features["csr"] and not features["embedding_dim"]
    bounded = over_terms and features["inputs"] * tags > SKIP_WEIGHTS
    return {
        **features,
        "outputs": tags,
        "hidden": settings.hidden,
        "skip_connection": settings.skip_connection and bool(settings.hidden),
        "skip_terms": SKIP_WEIGHTS // tags if bounded else None,
        "batch_norm": settings.batch_norm,
        "activation": settings.activation,
        "dropout": settings.dropout,
    }


def new_network(settings: Train, features: Path, train: Posts, tags: int, seed: int) -> tuple[MLP, dict[str, Any]]:
    """The network before training, on its device, and its description; sets torch's threads and seed."""
    torch.set_num_threads(settings.threads)
    torch.manual_seed(seed)
    network = describe_network(settings, read_json(features / "features.json"), tags)
    return initial_network(network, features, train, settings).to(choose_device(settings.device)), network


def build(network: dict[str, Any], encoder: "Encoder | None" = None) -> MLP:
    """The network that :func:`describe_network` describes, untrained, around its encoder if it has one."""
    if "encoder" not in network:
        return MLP(**network)
    return MLP(**network | {"encoder": encoder or open_encoder(network)})


def open_encoder(network: dict[str, Any]) -> "Encoder | None":
    """The encoder within a network, before it was fine-tuned; None where there is none."""
    if "encoder" not in network:
        return None
    from tagstudy.encoders.encoder import Encoder  # and with it sentence-transformers, which no other network needs

    return Encoder(EncoderSettings(**network["encoder"]))


def initial_network(network: dict[str, Any], features: Path, train: Posts, settings: Train) -> MLP:
    """The network before training, initialised from term frequencies in ``train`` and any pretrained embedding.

    Its words are made of subwords where the features say so; :func:`merge_subwords` ends that.
    """
    model = build(network)
    load_pretrained_embedding(model, features / "embedding.npy", settings.freeze)
    if (features / "subwords").exists():
        ngrams = CsrMatrix(features / "subwords")
        assert isinstance(model.first, CsrEmbedding)
        model.first = SubwordEmbedding(model.first, ngrams.take(np.arange(len(ngrams))))
    if model.skip is not None:
        model.skip.choose(train.term_frequencies())
    return model


def merge_subwords(model: MLP) -> None:
    """Give every word one row, once it is trained: the network is then what :func:`build` makes."""
    if isinstance(model.first, SubwordEmbedding):
        model.first = model.first.merged()


def load_pretrained_embedding(model: MLP, path: Path, freeze: bool) -> None:
    """Initialise the embedding matrix from a file, if there is one, and keep it so if ``freeze``."""
    if path.exists():
        with torch.no_grad():
            model.first.weight.copy_(torch.from_numpy(np.load(checked(path))))
        model.first.weight.requires_grad_(not freeze)


def write_network(folder: Path, model: MLP, network: dict[str, Any]) -> None:
    """Its weights, and what :func:`build` takes."""
    weights = model.state_dict()
    # Some encoders have a matrix under two names, which safetensors refuses.
    weights |= {name: matrix.clone() for name, matrix in weights.items() if name.startswith("encoder.")}
    (folder / "weights.safetensors").write_bytes(save(weights))  # save_file lets no other user read it
    write_json(folder / "network.json", network)
