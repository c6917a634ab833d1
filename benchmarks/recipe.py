"""The dense arm compared with the original study's recipe, at its size: seconds to the same Hamming loss on valid.

`python benchmarks/recipe.py --data FOLDER`. The 47,427 posts have some of ten tags; each is made of sentences of real
posts that have the same tag. Some words get a number, as names in code have, so that about 97,000 words occur twice.
The seconds are of training and validation alone: five epochs of the recipe with all cores, the arm with its settings.
"""

import json
import random
import re
import sys
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import call, run_stages
from common import arguments, write_params
from tagstudy.core.files import read_json
from tagstudy.data.readers import Post, read_posts

POSTS = 47_427
SITES = ("crypto", "biology", "robotics")
SENTENCE = re.compile(r"(?<=[.?!])\s+")
NUMBERED = 0.2  # the fraction of words that get a number


def main() -> None:
    data = arguments(__doc__).data
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        make_posts(folder / "posts.jsonl", data)
        # The original's split: 64%, 16% and 20%.
        source = {"source": "posts.jsonl", "tags": 10, "min_tags": 1, "valid": 0.16, "test": 0.2, "folds": 1}
        write_params(folder, ingest=source, train={"runs": 1})
        run_stages(folder, "ingest", "featurize_dense", "featurize_tfidf")
        curves = {}
        for name in ("original_dense", "dense"):
            if not call(folder, "benchmarks/contestant.py", name):
                sys.exit(1)
            curves[name] = read_json(folder / f"results/{name}.json")["runs"][0]["curve"]
        posts = read_json(folder / "data/posts/summary.json")["kept"]
        words = len(read_json(folder / "data/features/dense/fold-0/vocabulary.json"))
    print(f"{posts:,} posts, {words:,} words")
    for name, curve in curves.items():
        print(f"{name}:", *(f"{seconds:.1f} s {at['valid_hamming']:.4f}" for seconds, at in curve), sep="  ")
    goal = min(at["valid_hamming"] for _, at in curves["original_dense"])
    recipe, arm = (
        next((seconds for seconds, at in curve if at["valid_hamming"] <= goal), float("inf"))
        for curve in curves.values()
    )
    print(f"{goal:.4f}: recipe {recipe:.1f} s, dense arm {arm:.1f} s, {recipe / arm:.0f} times sooner")


def make_posts(path: Path, data: Path) -> None:
    """Write the posts as JSON Lines; the same bytes every time."""
    draw = random.Random(0)
    archives = [data / f"stack_exchange/{site}.csv.zip" for site in SITES]
    real = [post for archive in archives for post in read_posts(str(archive)) if isinstance(post, Post)]
    most = {tag for tag, _ in Counter(tag for post in real for tag in post.tags).most_common(10)}
    real = [post for post in real if most.intersection(post.tags)]
    sentences: dict[str, list[str]] = {tag: [] for tag in most}
    for post in real:
        for tag in most.intersection(post.tags):
            sentences[tag] += SENTENCE.split(str(post.text))
    with path.open("w", encoding="utf-8") as file:
        for number in range(POSTS):
            like = draw.choice(real)
            source = sentences[draw.choice(sorted(most.intersection(like.tags)))]
            words = " ".join(draw.choices(source, k=len(SENTENCE.split(str(like.text))))).split()
            numbered = [f"{word}{draw.randrange(100)}" if draw.random() < NUMBERED else word for word in words]
            # Its number makes a post unique; equal posts would be merged.
            row = {"id": number, "title": f"{number} {' '.join(numbered)}", "tags": like.tags}
            file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
