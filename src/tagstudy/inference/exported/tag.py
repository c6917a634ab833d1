"""The tags of a post: python tag.py TITLE [BODY].

Needs numpy and onnxruntime; for a model with an encoder, tokenizers too. Texts are plain text, not HTML.
"""

import json
import re
import sys
import unicodedata
from collections import Counter
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

FOLDER = Path(__file__).parent


def read(name: str) -> Any:
    return json.loads((FOLDER / name).read_text("utf-8")) if (FOLDER / name).exists() else None


MODEL = onnxruntime.InferenceSession(FOLDER / "model.onnx")
TAGS, WORDS, ENCODER = map(read, ("tags.json", "words.json", "encoder.json"))
COLUMNS = {term: column for column, term in enumerate(WORDS["vocabulary"])} if WORDS else {}


def tokenize(text: str) -> list[str]:
    text = unicodedata.normalize("NFC", re.sub(WORDS["separator"], " ", text).lower())
    if not re.fullmatch(WORDS["plain"], text):
        text = re.sub(WORDS["run"], pairs, text)
    return re.findall(WORDS["token"], text)


def pairs(run: re.Match[str]) -> str:
    """Where no spaces separate words, pairs of characters are tokens."""
    letters = re.findall(WORDS["character"], run[0])
    return f" {' '.join(map(''.join, pairwise(letters)) if letters[1:] else letters)} "


def count_words(title: str, body: str) -> dict[str, np.ndarray]:
    """Known words and n-grams; beside a body the title counts twice."""
    first, second = tokenize(title), tokenize(body)
    sequences = [first + second] + [first] * bool(title and body)
    lengths = range(1, WORDS["max_ngram"] + 1)
    terms = Counter(" ".join(s[i : i + n]) for s in sequences for n in lengths for i in range(len(s) - n + 1))
    known = {COLUMNS[term]: count for term, count in terms.items() if term in COLUMNS}
    return {"columns": np.array([*known], np.int32), "counts": np.array([*known.values()], np.float32)}


@cache
def open_tokenizer() -> Any:
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(FOLDER / "tokenizer.json"))


def split_windows(title: str, body: str) -> dict[str, np.ndarray]:
    """The title and the whole post in subword tokens, each in windows of nearly one length."""
    tokenizer, rows, of_title = open_tokenizer(), [], []
    for is_title, text in ((1, title or body), (0, "\n".join(filter(None, (title, body))))):
        lead, ids = ENCODER["lead"], tokenizer.encode(ENCODER["prompt"] + text, add_special_tokens=False).ids
        whole = ids[: len(lead)] == lead  # else the prompt and the text have merged, and the text is read alone
        ids = ids[len(lead) :] if whole else tokenizer.encode(text, add_special_tokens=False).ids
        if not ids + ENCODER["prefix"] + ENCODER["suffix"]:  # a text without a token
            ids = [ENCODER["padding"]]
        windows = max(1, -(-len(ids) // ENCODER["window"]))
        edges = [len(ids) * window // windows for window in range(windows + 1)]
        rows += [ENCODER["prefix"] + ids[a:b] + ENCODER["suffix"] for a, b in pairwise(edges)]
        of_title += [is_title] * windows
    longest = max(map(len, rows))
    padded = [row + [ENCODER["padding"]] * (longest - len(row)) for row in rows]
    mask = [[1] * len(row) + [0] * (longest - len(row)) for row in rows]
    return {
        "input_ids": np.array(padded, np.int64),
        "attention_mask": np.array(mask, np.int64),
        "of_title": np.array(of_title, np.float32),
    }


def run(title: str, body: str = "") -> tuple[np.ndarray, np.ndarray]:
    """The probability of each tag, and whether it is predicted."""
    words = count_words(title, body) if WORDS else {}
    return tuple(MODEL.run(None, words | (split_windows(title, body) if ENCODER else {})))


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: python tag.py TITLE [BODY]")
    probabilities, predicted = run(*sys.argv[1:])
    print({TAGS[tag]: round(float(probabilities[tag]), 4) for tag in np.argsort(-probabilities) if predicted[tag]})
