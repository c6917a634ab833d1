"""Posts encoded a second, beside `SentenceTransformer.encode` with its defaults, on the same bodies in the same run.

`python benchmarks/encoding.py --data FOLDER --posts 512` takes bodies of crypto, first cut to what
sentence-transformers reads of them, then whole: it reads the first window of a post, the study all of it. The two take
turns; medians.
"""

import sys
import time
import zipfile
from collections.abc import Callable
from itertools import pairwise
from statistics import median

import numpy as np
import pandas as pd
import torch

from dumps import ROOT, arguments

sys.path.insert(0, str(ROOT / "src"))

from tagstudy.data.text import clean
from tagstudy.encoders.batching import has_bfloat16
from tagstudy.encoders.encoder import concatenate, frozen_encoder
from tagstudy.encoders.loading import PACKAGED, load


def main() -> None:
    chosen = arguments(__doc__, posts={"type": int, "default": 512}, repeats={"type": int, "default": 3})
    with zipfile.ZipFile(chosen.data / "stack_exchange/crypto.csv.zip") as archive, archive.open("crypto.csv") as file:
        bodies = pd.read_csv(file)["content"].map(clean)
    texts = bodies[bodies != ""].sample(chosen.posts, random_state=0).tolist()
    theirs, threads = load(PACKAGED), torch.get_num_threads()
    encoder = frozen_encoder(PACKAGED, torch.device("cpu"))
    input_ids, bounds = concatenate(encoder.tokenize(texts))
    first = [theirs.tokenizer.decode(input_ids[start:end][: encoder.window]) for start, end in pairwise(bounds)]
    lengths = np.diff(bounds)
    print(f"{len(texts)} posts, {threads} threads, bfloat16 {has_bfloat16(torch.device('cpu'))}")
    print(
        f"{(lengths > encoder.window).mean():.0%} of them are longer than the first window, "
        f"which holds {np.minimum(lengths, encoder.window).sum() / lengths.sum():.0%} of their word pieces"
    )
    for name, posts in (("first window", first), ("whole posts", texts)):
        speeds: dict[str, list[float]] = {"sentence-transformers": [], "ours": []}
        for _ in range(chosen.repeats):
            torch.set_num_threads(threads)
            expected = timed(lambda: theirs.encode(posts), len(posts), speeds["sentence-transformers"])  # noqa: B023
            torch.set_num_threads(1)  # each of ours reads a batch of its own
            found = timed(lambda: encoder.encode(posts), len(posts), speeds["ours"])  # noqa: B023
        cosines = (expected * found).sum(axis=1)
        ratio = median(a / b for a, b in zip(speeds["ours"], speeds["sentence-transformers"], strict=True))
        both = ", ".join(f"{who} {median(of):.1f} posts/s" for who, of in speeds.items())
        print(
            f"{name}: {both}, ratio {ratio:.2f}; cosine at least {cosines.min():.5f}, median {np.median(cosines):.5f}"
        )


def timed(encode: Callable[[], np.ndarray], posts: int, speeds: list[float]) -> np.ndarray:
    start = time.perf_counter()
    vectors = encode()
    speeds.append(posts / (time.perf_counter() - start))
    return vectors


if __name__ == "__main__":
    main()
