"""A post's vector: the mean of its own and its title's, which would hardly count in a long post."""

import time
from collections.abc import Callable

import numpy as np
import torch
from torch.nn.functional import normalize

from tagstudy.core.corpus import Text
from tagstudy.encoders.encoder import SEPARATOR, Encoder, concatenate

TIMED_TOKENS = 16384  # subword tokens, about, of the posts that encoding is timed on


def title_and_whole(post: Text) -> tuple[str, str]:
    """The texts whose vectors' mean is the post's vector; the whole post twice, if it lacks a title or a body."""
    return post.title or post.body, str(post)


def distinct_texts(posts: list[Text]) -> list[str]:
    """The texts that the vectors of these posts need, each once."""
    return list(dict.fromkeys(text for post in posts for text in title_and_whole(post)))


def encode_posts(encoder: Encoder, encode: Callable[[list[str]], np.ndarray], posts: list[Text]) -> np.ndarray:
    """Vectors [posts, dims]; ``encode`` gives those of texts: ``encoder.encode``, or that of a cache."""
    texts = distinct_texts(posts)
    vectors = dict(zip(texts, encode(texts), strict=True))
    pairs = map(title_and_whole, posts)
    means = np.stack([(vectors[whole] + vectors[title]) / 2 for title, whole in pairs])
    return normalize(torch.from_numpy(means)).numpy() if encoder.normalized else means


def tokenize_posts(encoder: Encoder, posts: list[Text]) -> tuple[np.ndarray, np.ndarray]:
    """The input_ids of posts [tokens] and their offsets [posts + 1]: of these the encoder makes the same vectors."""
    texts = distinct_texts(posts)
    tokens = dict(zip(texts, encoder.tokenize(texts), strict=True))
    pairs = map(title_and_whole, posts)
    return concatenate(
        [
            tokens[whole] if tokens[title] == tokens[whole] else [*tokens[title], SEPARATOR, *tokens[whole]]
            for title, whole in pairs
        ]
    )


def cost(encoder: Encoder, posts: list[Text]) -> dict[str, float]:
    """The encoder's parameters, and the average multiply-adds and seconds to encode a post.

    Times posts sampled evenly from the list, so that their lengths are typical: the best of three passes, on all
    cores, tokenization included.
    """
    lengths = np.array([len(tokens) for tokens in encoder.tokenize(distinct_texts(posts))])
    timed = posts[:: max(1, int(lengths.sum()) // TIMED_TOKENS)]
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        encode_posts(encoder, encoder.encode, timed)
        seconds.append(time.perf_counter() - start)
    return {
        "parameters": sum(parameter.numel() for parameter in encoder.parameters()),
        "multiply_adds": encoder.multiply_adds(lengths) / len(posts),
        "seconds": min(seconds) / len(timed),
    }
