"""The original study's recipe, written out plainly, with its sparse arm's optimizer corrected.

It has dense gradients for the whole embedding matrix and AdamW for all parameters. A collate function looks up the
words of each batch and makes TF-IDF rows dense one by one.
"""

import copy
import os
import time
from collections import Counter
from collections.abc import Callable

import numpy as np
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from contestant import Result, TokenizedCorpus, read_corpus, timed


class Embedding(nn.Module):
    def __init__(self, words: int, tags: int) -> None:
        super().__init__()
        self.embedding = nn.EmbeddingBag(words, 300)
        self.mlp = mlp(300, tags)

    def forward(self, words: Tensor, offsets: Tensor) -> Tensor:
        return self.mlp(self.embedding(words, offsets))


def mlp(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in (200, 100):
        layers += [nn.Linear(inputs, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(0.5)]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, outputs))


def fit(
    model: nn.Module,
    posts: dict[str, list],
    labels: dict[str, np.ndarray],
    collate: Callable[[list], tuple[Tensor, ...]],
) -> tuple[np.ndarray, np.ndarray, float, float, list[tuple[float, dict[str, float]]]]:
    """Five epochs; scores of valid and test, seconds, posts a second on test, the curve on valid."""
    targets = {split: torch.from_numpy(part).float() for split, part in labels.items()}

    def loader(split: str, shuffle: bool) -> DataLoader:
        def join(rows: list[int]) -> tuple[tuple[Tensor, ...], Tensor]:
            return collate([posts[split][row] for row in rows]), targets[split][rows]

        # Batch normalisation fails on a last batch of a single post.
        rows = range(len(posts[split]))
        return DataLoader(rows, batch_size=128, shuffle=shuffle, drop_last=shuffle, collate_fn=join)  # type: ignore[arg-type]

    @torch.no_grad()
    def predict(split: str) -> np.ndarray:
        model.eval()
        return torch.cat([model(*batch) for batch, _ in loader(split, shuffle=False)]).sigmoid().numpy()

    count = targets["train"].sum(dim=0)
    loss_of = nn.BCEWithLogitsLoss(pos_weight=len(targets["train"]) / (len(count) * count))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.001)
    best, best_weights, curve = float("inf"), model.state_dict(), []
    torch.set_num_threads(os.cpu_count() or 1)  # torch's default
    start = time.perf_counter()
    for _ in range(5):
        model.train()
        for batch, target in loader("train", shuffle=True):
            optimizer.zero_grad()
            loss_of(model(*batch), target).backward()
            nn.utils.clip_grad_value_(model.parameters(), 10)
            optimizer.step()
        valid = predict("valid")
        hamming = float(((valid > 0.5) != labels["valid"]).mean())
        curve.append((time.perf_counter() - start, {"valid_hamming": hamming}))
        loss = loss_of(torch.logit(torch.from_numpy(valid), eps=1e-6), targets["valid"]).item()
        if loss < best:
            best, best_weights = loss, copy.deepcopy(model.state_dict())
    seconds = time.perf_counter() - start
    model.load_state_dict(best_weights)
    test, speed = timed(lambda: predict("test"))
    return predict("valid"), test, seconds, speed, curve


def result(model: nn.Module, posts: dict[str, list], corpus: TokenizedCorpus, collate: Callable) -> Result:
    valid, test, seconds, speed, curve = fit(model, posts, corpus.labels, collate)
    size = sum(parameter.numel() for parameter in model.parameters())
    return Result(valid, test, seconds, size, speed, curve)


def original_dense(fold: int) -> Result:
    corpus = read_corpus(fold)
    torch.manual_seed(1717)
    frequency = Counter(token for tokens in corpus.tokens["train"] for token in tokens)
    vocabulary = {word: row for row, word in enumerate((w for w, n in frequency.items() if n >= 2), start=1)}
    texts = {split: [" ".join(tokens) for tokens in corpus.tokens[split]] for split in corpus.tokens}

    def collate(batch: list[str]) -> tuple[Tensor, Tensor]:
        words = [[vocabulary.get(word, 0) for word in text.split()] or [0] for text in batch]
        offsets = np.cumsum([0, *map(len, words[:-1])])
        return torch.tensor([row for rows in words for row in rows]), torch.from_numpy(offsets)

    model = Embedding(len(vocabulary) + 1, corpus.labels["train"].shape[1])
    return result(model, texts, corpus, collate)


def original_sparse(fold: int) -> Result:
    corpus = read_corpus(fold)
    torch.manual_seed(1717)
    vectorizer = TfidfVectorizer(
        tokenizer=list, lowercase=False, token_pattern=None, max_features=5000, dtype=np.float32
    )
    vectorizer.fit(corpus.tokens["train"])
    rows = {split: list(vectorizer.transform(tokens).tocsr()) for split, tokens in corpus.tokens.items()}

    def collate(batch: list) -> tuple[Tensor]:
        return (torch.from_numpy(np.stack([row.toarray().ravel() for row in batch])),)

    model = mlp(len(vectorizer.vocabulary_), corpus.labels["train"].shape[1])
    return result(model, rows, corpus, collate)
