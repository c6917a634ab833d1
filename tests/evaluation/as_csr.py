"""Dense arrays as evaluation gets them: a corpus, CSR matrices, and blocks of stored scores."""

import json
from pathlib import Path

import numpy as np
from conftest import save_csr
from scipy.sparse import csr_array

from tagstudy.core.corpus import Corpus
from tagstudy.evaluation.blocks import Block
from tagstudy.evaluation.systems import Run, System, assess
from tagstudy.predictions.decisions import Decision
from tagstudy.predictions.links import squared_hinge
from tagstudy.predictions.predictions import is_relevant


def corpus_of(folder: Path, labels: np.ndarray, folds: int) -> Corpus:
    """A corpus without texts, of labels [posts, tags]; post i is in part i % folds, of a single split in test."""
    folder.mkdir(parents=True, exist_ok=True)
    part, fold = np.arange(len(labels)) % max(folds, 3), np.arange(folds)[:, None]
    splits = np.where(part == fold, 2, np.where(part == (fold + 1) % max(folds, 3), 1, 0))
    np.save(folder / "splits.npy", splits.astype(np.int8))
    (folder / "tags.json").write_text(json.dumps([f"tag {tag}" for tag in range(labels.shape[1])]))
    save_csr(folder / "labels", labels_of(labels), np.uint8)
    return Corpus(folder)


def system_of(corpus: Corpus, labels: np.ndarray, logits: np.ndarray) -> System:
    """A system of runs with these logits [runs, posts, tags]."""
    return System(
        [run_of(corpus, labels, number % corpus.folds, own) for number, own in enumerate(logits)], corpus.folds
    )


def run_of(corpus: Corpus, labels: np.ndarray, fold: int, logits: np.ndarray) -> Run:
    rows = {split: corpus.rows(split, fold) for split in ("valid", "test")}
    blocks = {split: blocks_of(labels[chosen], logits[chosen]) for split, chosen in rows.items()}
    true = {split: labels_of(labels[chosen]) for split, chosen in rows.items()}
    return assess(fold, true, lambda split: iter(blocks[split]), Decision(None, None))


def labels_of(labels: np.ndarray) -> csr_array:
    """Labels as Corpus has them, of booleans [posts, tags]."""
    return csr_array(labels.astype(np.uint8))


def decisions_of(labels: np.ndarray, predicted: np.ndarray) -> csr_array:
    """Decisions as scoring.count_outcomes takes them, of booleans [posts, tags]."""
    pattern = csr_array(predicted)
    posts = np.repeat(np.arange(len(labels)), np.diff(pattern.indptr))
    return csr_array((labels[posts, pattern.indices], pattern.indices, pattern.indptr), shape=labels.shape)


def stored(logits: np.ndarray, kept: int) -> csr_array:
    """The best tags of each post, of logits [posts, tags]."""
    best = np.sort(np.argsort(-logits, axis=1, kind="stable")[:, :kept], axis=1)
    values = np.take_along_axis(logits, best, axis=1)
    return csr_array((values.ravel(), best.ravel(), np.arange(len(logits) + 1) * best.shape[1]), shape=logits.shape)


def blocks_of(labels: np.ndarray, logits: np.ndarray, kept: int | None = None, size: int = 1000) -> list[Block]:
    """Blocks of ``size`` posts with the scores of ``kept`` tags of each post, or of all."""
    blocks = []
    for start in range(0, len(labels), size):
        here = slice(start, start + size)
        true, scores = labels_of(labels[here]), stored(logits[here], kept or labels.shape[1])
        blocks.append(Block(true, scores, squared_hinge(scores.data), is_relevant(true, scores)))
    return blocks
