"""The system that a predictor takes tags from, as one torch module that ONNX can hold: from a post's words to its tags.

The module takes a post at a time: `columns` and `counts` [terms] of its words where an arm counts them; `input_ids`,
`attention_mask` [windows, longest] and `of_title` [windows] where an arm has an encoder, with 1 for each window of the
title and 0 for each of the whole post. It gives `probabilities` and `predicted` [tags].
"""

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from tagstudy.encoders.encoder import Encoder
from tagstudy.model.embedding import CsrEmbedding, FrequentTerms
from tagstudy.model.losses import LOSSES
from tagstudy.model.mlp import MLP
from tagstudy.predictions.decisions import Decision

Scored = tuple[Tensor, Tensor, Tensor]  # logits [1, tags], probabilities [1, tags], whether a word is known


class RowSum(nn.Module):
    """A CsrEmbedding on the one post that there is."""

    def __init__(self, embedding: CsrEmbedding) -> None:
        super().__init__()
        self.weight, self.bias = embedding.weight, embedding.bias

    def forward(self, columns: Tensor, weights: Tensor) -> Tensor:
        return (weights[:, None] * self.weight[columns]).sum(0, keepdim=True) + self.bias


class FrequentRowSum(nn.Module):
    """FrequentTerms on the one post that there is."""

    row: Tensor

    def __init__(self, skip: FrequentTerms) -> None:
        super().__init__()
        self.register_buffer("row", skip.row.long())
        self.weight = skip.weight

    def forward(self, columns: Tensor, weights: Tensor) -> Tensor:
        rows = self.row[columns]
        kept = weights * (rows >= 0)
        return (kept[:, None] * self.weight[rows.clamp(min=0)]).sum(0, keepdim=True)


class WordArm(nn.Module):
    """An arm on counted words; ``own_columns`` [vocabulary] are its columns, -1 for terms that only the other arm has.

    ``idf`` [own columns] multiplies the term frequencies; it is 1 everywhere in the dense arm.
    """

    takes_words = True
    own_columns: Tensor
    idf: Tensor

    def __init__(self, network: MLP, loss: str, own_columns: np.ndarray, idf: np.ndarray, sublinear_tf: bool) -> None:
        super().__init__()
        self.network, self.loss, self.sublinear_tf = copy.deepcopy(network), LOSSES[loss], sublinear_tf
        assert isinstance(network.first, CsrEmbedding)
        self.network.first = RowSum(network.first)  # type: ignore[assignment]
        if network.skip is not None:
            self.network.skip = FrequentRowSum(network.skip)  # type: ignore[assignment]
        self.register_buffer("own_columns", torch.from_numpy(own_columns))
        self.register_buffer("idf", torch.from_numpy(idf).float())

    def forward(self, columns: Tensor, counts: Tensor) -> Scored:
        rows = self.own_columns[columns.long()]
        kept = rows >= 0
        rows = rows.clamp(min=0)
        tf = 1 + torch.log(counts) if self.sublinear_tf else counts
        logits = self.network(rows, normalize(tf * self.idf[rows] * kept, dim=0))
        return logits, self.loss.probability(logits), kept.sum() > 0  # any() of nothing is no operator


class EncoderArm(nn.Module):
    """An arm on an encoder, in float32; a post is known by at least ``least`` subword tokens, special ones counted."""

    takes_words = False

    def __init__(self, network: MLP, loss: str, encoder: Encoder, least: int) -> None:
        super().__init__()
        self.least = least
        self.body, self.normalized = copy.deepcopy(encoder.body).float().cpu(), encoder.normalized
        self.dims, self.prompt_length, self.in_bfloat16 = encoder.dims, encoder.prompt_length, encoder.in_bfloat16
        self.network, self.loss = copy.deepcopy(network).cpu(), LOSSES[loss]
        self.network.encoder = None

    def forward(self, input_ids: Tensor, attention_mask: Tensor, of_title: Tensor) -> Scored:
        features: dict[str, Any] = {"input_ids": input_ids, "attention_mask": attention_mask}
        if self.prompt_length:
            features["prompt_length"] = self.prompt_length
        for module in self.body:
            features = module(features)
        vectors, lengths = features["sentence_embedding"][:, : self.dims], attention_mask.sum(1)
        title, whole = (self.mean(vectors, lengths * share) for share in (of_title, 1 - of_title))
        logits = self.network(self.unit((title + whole) / 2)[None])
        return logits, self.loss.probability(logits), lengths.max() >= self.least

    def mean(self, vectors: Tensor, weights: Tensor) -> Tensor:
        return self.unit((vectors * weights[:, None]).sum(0) / weights.sum())

    def unit(self, vector: Tensor) -> Tensor:
        return normalize(vector, dim=0) if self.normalized else vector


class Decider(nn.Module):
    """A :class:`Decision`; in float64, because a calibration may be steep."""

    threshold: Tensor  # [tags]; NaN for none
    scores: Tensor  # [knots], and the other parts of a Calibration
    log_odds: Tensor
    slopes: Tensor
    intercepts: Tensor

    def __init__(self, decision: Decision, tags: int) -> None:
        super().__init__()
        self.top = decision.top
        self.calibrated = decision.calibration is not None
        for name, values in (decision.calibration._asdict() if decision.calibration else {}).items():
            self.register_buffer(name, torch.from_numpy(values))
        threshold = np.full(tags, np.nan) if decision.threshold is None else np.array(decision.threshold, dtype=float)
        self.register_buffer("threshold", torch.from_numpy(np.broadcast_to(threshold, tags).copy()))

    def forward(self, logits: Tensor, scores: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        probabilities = self.calibrate(scores[0].double())
        if self.top is None:
            predicted = probabilities >= self.threshold
        else:
            best = torch.topk(logits[0], min(self.top, logits.shape[1])).indices
            predicted = (torch.arange(logits.shape[1])[:, None] == best).any(1)
        return probabilities.float(), predicted & known

    def calibrate(self, scores: Tensor) -> Tensor:
        if not self.calibrated:
            return scores
        knots, log_odds = self.scores, self.log_odds
        scores = scores.clamp(knots[0], knots[-1])
        right = (scores[:, None] >= knots).sum(1).clamp(1, len(knots) - 1)
        slope = (log_odds[right] - log_odds[right - 1]) / (knots[right] - knots[right - 1])
        pooled = log_odds[right - 1] + slope * (scores - knots[right - 1])
        return torch.sigmoid(self.slopes * pooled + self.intercepts)


class Tagger(nn.Module):
    """One arm, or the mean of the dense and the sparse one, and what is decided by its scores."""

    def __init__(self, arms: list[WordArm | EncoderArm], dense_weight: float, decider: Decider) -> None:
        super().__init__()
        self.arms, self.decider = nn.ModuleList(arms), decider
        self.weights = (dense_weight, 1 - dense_weight) if len(arms) > 1 else (1.0,)
        self.words = 2 if any(arm.takes_words for arm in arms) else 0  # inputs of words, before an encoder's

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        words, windows = inputs[: self.words], inputs[self.words :]
        scored = [arm(*(words if arm.takes_words else windows)) for arm in self.arms]
        logits, scores = (sum(w * s[part] for w, s in zip(self.weights, scored, strict=True)) for part in (0, 1))
        known = torch.stack([known for _, _, known in scored]).any()
        return self.decider(logits, scores, known)
