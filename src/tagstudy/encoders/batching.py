"""Windows of long texts, and which windows an encoder reads together."""

from collections.abc import Iterator

import numpy as np
import torch

MIN_BATCH_TOKENS = 64  # tokens of a batch at least, on a CPU where nothing is learned
GPU_TOKEN_BYTES = 2**17  # memory that a large encoder takes for each token of a batch on a GPU


def count_windows(lengths: np.ndarray, window: int) -> np.ndarray:
    """How many windows of at most ``window`` tokens texts of these lengths make; an empty text makes one, too."""
    return np.maximum(-(-lengths // window), 1)


def split_windows(starts: np.ndarray, ends: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Split texts into windows of one length, give or take a token.

    Takes where each text starts and ends [texts]; gives where each window starts and ends, and its text [windows].
    """
    lengths = ends - starts
    windows = count_windows(lengths, window)
    text = np.repeat(np.arange(len(lengths)), windows)
    number = np.arange(len(text)) - np.repeat(np.cumsum(windows) - windows, windows)  # of a window in its text
    first, last = (starts[text] + lengths[text] * (number + edge) // windows[text] for edge in (0, 1))
    return first, last, text


def make_batches(
    lengths: np.ndarray, device: torch.device, *, training: bool, bfloat16: bool = False
) -> Iterator[np.ndarray]:
    """Batches of windows, the longest first; ``lengths`` [windows] include the special tokens.

    On a CPU where nothing is learned, all windows of a batch have one length, so that none is padded, and a batch of
    fewer than MIN_BATCH_TOKENS repeats its windows. Otherwise some processors would sum in another order, depending on
    padding and batch size, and the last bits of a post's vector would depend on the other posts in its batch. A GPU's
    sums depend on the batch anyway, and few large batches suit it.
    """
    one_length = not training and device.type == "cpu"
    max_tokens = max_batch_tokens(device, bfloat16)
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        longest = lengths[order[start]]
        batch = order[start : start + max(1, max_tokens // longest)]
        if one_length:
            batch = batch[lengths[batch] == longest]
        start += len(batch)
        yield np.resize(batch, max(len(batch), -(-MIN_BATCH_TOKENS // longest))) if one_length else batch


def max_batch_tokens(device: torch.device, bfloat16: bool) -> int:
    """Tokens of a batch at most: on a GPU what fits its free memory, on a CPU few, which its cache holds."""
    if device.type == "cuda":
        return min(65536, torch.cuda.mem_get_info(device)[0] // GPU_TOKEN_BYTES)
    return 380 if bfloat16 else 512  # a bfloat16 matrix of 384 rows is summed up in another order
