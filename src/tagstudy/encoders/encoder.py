"""A sentence encoder for texts of any length, frozen or fine-tuned with the network.

A text that is longer than the encoder's window is split into windows of one length, give or take a token. Its vector is
the mean of theirs, each weighted by its length.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from tagstudy.core.config import EncoderSettings
from tagstudy.core.errors import UserError
from tagstudy.core.printing import print_visible
from tagstudy.core.processes import available_cores
from tagstudy.encoders.batching import count_windows, make_batches, split_windows
from tagstudy.encoders.loading import load, loading_errors, longest_window
from tagstudy.encoders.prompts import choose_prompt, prompt_hint, shown
from tagstudy.encoders.reference import PROBE, check_vector, reference_vector

SEPARATOR = -1  # among the input_ids of a row, between one text and the next


class Encoder(nn.Module):
    """Vectors [rows, dims] of rows of subword tokens, each row a text or several with SEPARATOR between them.

    The vector of several texts is the mean of their vectors. Attention ignores tokens of weight 0.
    """

    def __init__(self, settings: EncoderSettings) -> None:
        """Raises :class:`UserError` for an encoder that cannot be read, and where the settings do not fit it."""
        super().__init__()
        model = load(settings)
        self.name, self.hint = settings.encoder, prompt_hint(model, settings)
        self.tokenizer, self.prompt = model.tokenizer, choose_prompt(model, settings)
        self.dims = model.get_embedding_dimension() or 0
        self.in_bfloat16, self.precision = settings.dtype == "bfloat16", str(settings.dtype)
        *body, last = model
        self.normalized = type(last).__name__ == "Normalize"  # then means of its vectors are, too
        self.body = nn.ModuleList(body if self.normalized else [*body, last])
        self.find_special_tokens()
        longest = longest_window(model, settings)
        with loading_errors(self.name):  # not every first module has a window
            model.max_seq_length = longest
        self.window = model.max_seq_length - self.special_tokens
        if self.window < 1:
            taken = f"special tokens and prompt take {self.special_tokens} tokens"
            raise UserError(f"featurize_dense.max_length: {taken}; raise it")
        expected = reference_vector(model, self.prompt)
        for module in self.modules():
            if getattr(module, "pooler", None) is not None:
                module.register_module("pooler", None)  # of BERT's pre-training; sentences do not pass it
        self.eval()
        if len(expected) != self.dims:
            differ = f"its vectors have {len(expected)} dimensions, not {self.dims} as its files say"
            raise UserError(f"featurize_dense.encoder: {self.name}: {differ}; name another one")
        if len(self.tokenize([PROBE])[0]) <= self.window:
            check_vector(self.encode([PROBE])[0], expected, self.name)

    def find_special_tokens(self) -> None:
        """Those that stand before and behind the text of each window; the prompt is among them."""
        special, plain = (self.tokenizer("a", add_special_tokens=added)["input_ids"] for added in (True, False))
        first = next((start for start in range(len(special)) if special[start : start + len(plain)] == plain), 0)
        prompt, stripped = (
            self.tokenizer(text, add_special_tokens=False)["input_ids"] for text in (self.prompt, self.prompt.rstrip())
        )
        self.lead: list[int] = stripped  # a space behind the prompt may belong to the first token of the text
        self.prefix, self.suffix = [*special[:first], *self.lead], special[first + len(plain) :]
        self.special_tokens = len(self.prefix) + len(self.suffix)
        self.prompt_length = first + len(prompt) if self.prompt else 0  # for a Pooling that leaves the prompt out

    def announce(self) -> None:
        """Print what it makes of a text, and a hint if it lacks a prompt."""
        parts = [f"{self.dims} dimensions", f"windows of {self.window + self.special_tokens} tokens"]
        parts += [str(mode) for module in self.body if (mode := getattr(module, "pooling_mode", None))]
        parts += ["normalized"] * self.normalized + [self.precision]
        print_visible(f"{self.name}: {', '.join([*parts, shown(self.prompt)])}")
        if self.hint:
            print_visible(self.hint)
        held = os.environ.get("ONEDNN_MAX_CPU_ISA") == "AVX2" and next(self.parameters()).device.type == "cpu"
        if self.in_bfloat16 and held:
            print_visible("a CPU's bfloat16 instructions are used only with compute.instructions: native")

    @torch.no_grad()
    def encode(self, texts: list[str]) -> np.ndarray:
        """Vectors [texts, dims]."""
        input_ids, offsets = concatenate(self.tokenize(texts))
        device = next(self.parameters()).device
        batch = input_ids, offsets, np.ones(len(input_ids), np.float32)
        return self(*(torch.from_numpy(part).to(device) for part in batch)).cpu().numpy()

    def tokenize(self, texts: list[str]) -> list[list[int]]:
        """The input_ids of each text, as they stand behind the prompt, without it and without special tokens."""

        def input_ids(texts: list[str]) -> list[list[int]]:
            rows = self.tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
            # A text without a token needs one where no special token is added.
            return rows if self.special_tokens else [row or [self.tokenizer.pad_token_id or 0] for row in rows]

        if not self.prompt:
            return input_ids(texts)
        rows = input_ids([self.prompt + text for text in texts])
        # A text whose first letters merge with the prompt is tokenized alone.
        return [
            row[len(self.lead) :] if row[: len(self.lead)] == self.lead else input_ids([text])[0]
            for row, text in zip(rows, texts, strict=True)
        ]

    def forward(self, input_ids: Tensor, offsets: Tensor, weights: Tensor) -> Tensor:
        """Vectors [rows, dims] of input_ids [tokens] with offsets [rows + 1] and weights [tokens]."""
        edges = offsets.cpu().numpy().astype(np.int64)
        separators = np.flatnonzero((input_ids == SEPARATOR).cpu().numpy())
        text_starts = np.sort(np.append(edges[:-1], separators + 1))
        text_ends = np.sort(np.append(edges[1:], separators))
        starts, ends, text = split_windows(text_starts, text_ends, self.window)
        lengths = ends - starts + self.special_tokens
        vectors = self.mean(self.encode_windows(input_ids, weights, starts, ends), text, lengths)
        if not len(separators):
            return vectors
        texts_of_row = np.diff(np.searchsorted(separators, edges)) + 1
        row = np.repeat(np.arange(len(texts_of_row)), texts_of_row)
        return self.mean(vectors, row, np.ones(len(row)))

    def mean(self, vectors: Tensor, group: np.ndarray, weights: np.ndarray) -> Tensor:
        """Weighted means [groups, dims] of the vectors of each group, L2-normalised if the encoder's vectors are."""
        total = np.bincount(group, weights)
        fraction = (weights / total[group]).astype(np.float32)
        index, weight = (torch.from_numpy(part).to(vectors.device) for part in (group, fraction))
        zeros = torch.zeros(len(total), self.dims, device=vectors.device)
        means = zeros.index_add(0, index, vectors * weight[:, None])
        return normalize(means) if self.normalized else means

    def encode_windows(self, input_ids: Tensor, weights: Tensor, starts: np.ndarray, ends: np.ndarray) -> Tensor:
        """Vectors [windows, dims] of the windows between these places, with gradients in training."""
        lengths = ends - starts + self.special_tokens
        batches = list(make_batches(lengths, input_ids.device, training=self.training, bfloat16=self.in_bfloat16))

        def encode_batch(batch: np.ndarray) -> Tensor:
            with torch.set_grad_enabled(self.training):  # each thread has its own
                edges = (torch.from_numpy(places[batch]).to(input_ids.device) for places in (starts, ends))
                return self.encode_batch(*self.pad(input_ids, weights, *edges))

        if self.training or input_ids.is_cuda:
            vectors = torch.cat([encode_batch(batch) for batch in batches])
        else:  # two threads with a batch each are faster than two that share one
            with ThreadPoolExecutor(max(1, available_cores() // torch.get_num_threads())) as threads:
                vectors = torch.cat(list(threads.map(encode_batch, batches)))
        _, place = np.unique(np.concatenate(batches), return_index=True)  # batches may repeat a window
        return vectors[place]

    def pad(self, input_ids: Tensor, weights: Tensor, starts: Tensor, ends: Tensor) -> tuple[Tensor, Tensor]:
        """Token ids and attention mask [windows, longest] of the windows between these places, special tokens added."""
        device, lengths, first = input_ids.device, ends - starts, len(self.prefix)
        longest = int(lengths.max())
        place = torch.arange(longest, device=device)
        inside = place < lengths[:, None]
        places = (starts[:, None] + place)[inside]
        shape = len(lengths), first + longest + len(self.suffix)
        token_ids = torch.full(shape, self.tokenizer.pad_token_id or 0, device=device)
        mask = torch.zeros(shape, dtype=torch.int64, device=device)
        token_ids[:, :first], mask[:, :first] = torch.tensor(self.prefix, device=device), 1
        token_ids[:, first : first + longest][inside] = input_ids[places].long()
        mask[:, first : first + longest][inside] = (weights[places] > 0).long()
        for number, token in enumerate(self.suffix):  # right behind each window's last token
            at = torch.arange(len(lengths), device=device), first + lengths + number
            token_ids[at], mask[at] = token, 1
        return token_ids, mask

    def encode_batch(self, token_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Vectors [windows, dims], not normalised."""
        features: dict[str, Any] = {"input_ids": token_ids, "attention_mask": attention_mask}
        if self.prompt_length:
            features["prompt_length"] = self.prompt_length
        with torch.autocast(token_ids.device.type, torch.bfloat16, enabled=self.in_bfloat16):
            for module in self.body:
                features = module(features)
        return features["sentence_embedding"][:, : self.dims].float()

    def layers(self) -> list[list[nn.Parameter]]:
        """The parameters of each layer from the top down: first those behind the transformer, last its embeddings'."""
        lists = {
            name: m for name, m in self.body.named_modules() if isinstance(m, nn.ModuleList) and m is not self.body
        }
        outermost = [m for name, m in lists.items() if not any(name.startswith(f"{other}.") for other in lists)]
        stack = max(outermost, key=len, default=nn.ModuleList())  # lists within a layer are of experts, say
        layers = [list(layer.parameters()) for layer in (self.body[1:], *reversed(stack))]
        listed = {id(parameter) for layer in layers for parameter in layer}
        layers.append([parameter for parameter in self.parameters() if id(parameter) not in listed])
        return [layer for layer in layers if layer]

    def multiply_adds(self, lengths: np.ndarray) -> float:
        """Multiply-adds for texts of these lengths (subword tokens), without the fewer ones of attention scores."""
        tokens = lengths.sum() + self.special_tokens * count_windows(lengths, self.window).sum()
        return tokens * sum(layer.weight.numel() for layer in self.modules() if isinstance(layer, nn.Linear))


def concatenate(rows: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """The input_ids of all rows, concatenated [tokens], and the offsets of the rows [rows + 1]."""
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    return np.array([token for row in rows for token in row], dtype=np.int32), offsets
