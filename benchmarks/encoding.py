"""Posts encoded per second, compared with `SentenceTransformer.encode` with its defaults, in the same run.

`python benchmarks/encoding.py --data FOLDER --posts 512` takes bodies of crypto, first cut to their
first window, which is all that sentence-transformers reads, then whole, as the study reads them. The two take turns;
the figures are medians.
"""

import time
import zipfile
from collections.abc import Callable
from itertools import pairwise
from statistics import median

import numpy as np
import pandas as pd
import torch

from common import arguments
from tagstudy.core.config import EncoderSettings
from tagstudy.data.text import clean
from tagstudy.encoders.encoder import concatenate
from tagstudy.encoders.frozen import frozen_encoder
from tagstudy.encoders.loading import PACKAGED, load


def main() -> None:
    options = arguments(
        __doc__,
        posts={"type": int, "default": 512},
        repeats={"type": int, "default": 3},
        dtype={"choices": ["float32", "bfloat16", "int8"], "default": "float32"},
    )
    with zipfile.ZipFile(options.data / "stack_exchange/crypto.csv.zip") as archive, archive.open("crypto.csv") as file:
        bodies = pd.read_csv(file)["content"].map(clean)
    texts = bodies[bodies != ""].sample(options.posts, random_state=0).tolist()
    settings = EncoderSettings(encoder=PACKAGED, dtype=options.dtype)
    reference, threads = load(settings), torch.get_num_threads()
    encoder = frozen_encoder(settings, torch.device("cpu"))
    input_ids, offsets = concatenate(encoder.tokenize(texts))
    first = [reference.tokenizer.decode(input_ids[start:end][: encoder.window]) for start, end in pairwise(offsets)]
    lengths = np.diff(offsets)
    print(f"{len(texts)} posts, {threads} threads, {options.dtype}")
    print(
        f"{(lengths > encoder.window).mean():.0%} of them are longer than the first window, "
        f"which holds {np.minimum(lengths, encoder.window).sum() / lengths.sum():.0%} of their subword tokens"
    )
    for part, posts in (("first window", first), ("whole posts", texts)):
        speeds: dict[str, list[float]] = {"sentence-transformers": [], "the study": []}
        for _ in range(options.repeats):
            torch.set_num_threads(threads)
            expected = timed(lambda: reference.encode(posts), len(posts), speeds["sentence-transformers"])  # noqa: B023
            torch.set_num_threads(1)  # each thread of the study reads its own batch
            vectors = timed(lambda: encoder.encode(posts), len(posts), speeds["the study"])  # noqa: B023
        cosines = (expected * vectors).sum(axis=1)
        ratio = median(a / b for a, b in zip(speeds["the study"], speeds["sentence-transformers"], strict=True))
        both = ", ".join(f"{name} {median(values):.1f} posts/s" for name, values in speeds.items())
        print(
            f"{part}: {both}, ratio {ratio:.2f}; cosine at least {cosines.min():.5f}, median {np.median(cosines):.5f}"
        )


def timed(encode: Callable[[], np.ndarray], posts: int, speeds: list[float]) -> np.ndarray:
    start = time.perf_counter()
    vectors = encode()
    speeds.append(posts / (time.perf_counter() - start))
    return vectors


if __name__ == "__main__":
    main()
