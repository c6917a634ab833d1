"""The packaged encoder: its vectors, windows of long posts, fine-tuning, what it costs."""

import copy
from collections.abc import Callable
from itertools import islice, permutations
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, StaticEmbedding

from tagstudy.core.config import EncoderSettings
from tagstudy.core.corpus import Text
from tagstudy.core.errors import UserError
from tagstudy.encoders import batching
from tagstudy.encoders.batching import MIN_BATCH_TOKENS, make_batches, max_batch_tokens, split_windows
from tagstudy.encoders.encoder import SEPARATOR, Encoder, concatenate
from tagstudy.encoders.frozen import frozen_encoder
from tagstudy.encoders.loading import PACKAGED, encode_words, load, load_model
from tagstudy.encoders.posts import cost, distinct_texts, encode_posts, tokenize_posts

SETTINGS = EncoderSettings(encoder=PACKAGED)
TEXTS = [
    "How do I bind a click handler to rows added later?",
    "c# and c++ and .net",
    "",
    "Pointer to a pointer in C",
    "Why does my query return nothing when the table has rows? " * 8,
]
LONG = "A linked list of nodes, each with a pointer to the next one, is walked from its head. " * 40


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return frozen_encoder(SETTINGS, torch.device("cpu"))


@pytest.fixture(scope="module")
def reference() -> SentenceTransformer:
    return load(SETTINGS)


def cosine(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return (left * right).sum(axis=1) / np.linalg.norm(left, axis=1) / np.linalg.norm(right, axis=1)


def test_vectors_are_those_of_sentence_transformers(encoder: Encoder, reference: SentenceTransformer) -> None:
    found = encoder.encode(TEXTS)
    assert found.shape == (len(TEXTS), encoder.dims) and found.dtype == np.float32
    np.testing.assert_allclose(found, reference.encode(TEXTS), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)


def test_a_long_post_is_the_mean_of_its_windows(encoder: Encoder, reference: SentenceTransformer) -> None:
    """Its second half counts, which sentence-transformers cuts off."""
    [input_ids] = encoder.tokenize([LONG])
    count = -(-len(input_ids) // encoder.window)
    assert count > 2
    windows = [reference.tokenizer.decode(part) for part in np.array_split(input_ids, count)]
    parts = reference.encode(windows)
    found = encoder.encode([LONG])
    assert cosine(found, parts.mean(axis=0, keepdims=True)).min() > 0.999
    changed = LONG + "Bees dance. " * 300
    assert cosine(encoder.encode([changed]), found)[0] < 0.95
    assert cosine(reference.encode([changed]), reference.encode([LONG]))[0] > 0.9999


def test_a_vector_does_not_depend_on_the_posts_beside_it(encoder: Encoder) -> None:
    texts = [*TEXTS, LONG, LONG[:700], *(text[::-1] for text in TEXTS)]
    together = encoder.encode(texts)
    alone = np.concatenate([encoder.encode([text]) for text in texts])
    np.testing.assert_array_equal(together, alone)


def test_nor_does_that_of_a_post_of_a_few_words(encoder: Encoder) -> None:
    words = ["cat", "dog", "bird", "fish", "cow", "hen", "pig", "fox", "ant", "bee"]
    texts = ["", "", *(" ".join(words[start : start + length]) for length in range(1, 10) for start in range(3))]
    texts += map(" ".join, islice(permutations(words), 50))  # more of a length than a batch holds
    together = encoder.encode(texts)
    alone = np.concatenate([encoder.encode([text]) for text in texts])
    np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize(("device", "bfloat16"), [("cpu", False), ("cpu", True), ("cuda", True)])
def test_every_window_is_read_on_a_cpu_beside_others_of_its_length(
    device: str, bfloat16: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2**30, 2**34))  # bytes free, and in all
    lengths = np.array([*[5, 256, 12, 256, 9, 2, 12, 130] * 200, 7, 62])
    batches = list(make_batches(lengths, torch.device(device), training=False, bfloat16=bfloat16))
    together = np.concatenate(batches)
    np.testing.assert_array_equal(np.unique(together), np.arange(len(lengths)))
    read = np.array([lengths[batch].max() * len(batch) for batch in batches])
    assert (read <= max_batch_tokens(torch.device(device), bfloat16)).all()
    assert all(len(set(lengths[batch])) == 1 for batch in batches) == (device == "cpu")
    if device == "cpu":
        assert (read >= MIN_BATCH_TOKENS).all()
        assert len(together) < len(lengths) + MIN_BATCH_TOKENS  # few come again
    else:
        assert len(together) == len(lengths)


def test_windows_are_of_one_length_give_or_take_a_token_and_cover_their_text() -> None:
    starts, ends = np.array([0, 4, 4, 11]), np.array([4, 4, 11, 13])
    window_starts, window_ends, text = split_windows(starts, ends, window=3)
    np.testing.assert_array_equal(window_starts, [0, 2, 4, 4, 6, 8, 11])
    np.testing.assert_array_equal(window_ends, [2, 4, 4, 6, 8, 11, 13])
    np.testing.assert_array_equal(text, [0, 0, 1, 2, 2, 2, 3])


def test_attention_passes_over_a_token_of_weight_0(encoder: Encoder) -> None:
    def read(input_ids: list[int], weights: list[float]) -> torch.Tensor:
        with torch.no_grad():
            return encoder(torch.tensor(input_ids), torch.tensor([0, len(input_ids)]), torch.tensor(weights))

    [[first, other, last], [fish]] = encoder.tokenize(["cat dog bird", "fish"])
    torch.testing.assert_close(read([first, other, last], [1, 0, 1]), read([first, fish, last], [2, 0, 2]))
    assert not torch.allclose(read([first, other, last], [1, 1, 1]), read([first, fish, last], [1, 1, 1]), atol=0.01)


def test_fine_tuning_encodes_alike_and_reaches_every_layer(encoder: Encoder) -> None:
    input_ids, offsets = concatenate(encoder.tokenize([*TEXTS, LONG]))
    batch = torch.from_numpy(input_ids), torch.from_numpy(offsets), torch.ones(len(input_ids))
    frozen = encoder(*batch)
    dropouts = [module for module in encoder.modules() if isinstance(module, torch.nn.Dropout)]
    rates = [dropout.p for dropout in dropouts]
    try:
        encoder.train()
        for module in dropouts:
            module.p = 0
        finetuned = encoder(*batch)
        assert cosine(finetuned.detach().numpy(), frozen.numpy()).min() > 0.999
        finetuned[:, :3].sum().backward()
        layers = encoder.layers()
        assert len(layers) == 6 + 1
        assert sum(map(len, layers)) == len(list(encoder.parameters()))
        assert all(parameter.grad.abs().sum() > 0 for layer in layers for parameter in layer if parameter.ndim == 2)
    finally:
        encoder.zero_grad(set_to_none=True)
        for module, rate in zip(dropouts, rates, strict=True):
            module.p = rate
        encoder.eval()


def test_an_encoder_that_is_none_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match=r"featurize_dense\.encoder: .*cannot be loaded"):
        Encoder(EncoderSettings(encoder=str(tmp_path)))


@pytest.fixture
def table(reference: SentenceTransformer, tmp_path: Path) -> str:
    """A folder with a model of static embeddings, as model2vec saves them."""
    static = StaticEmbedding(reference.tokenizer.backend_tokenizer, embedding_dim=8)
    SentenceTransformer(modules=[static, Normalize()], device="cpu").save(str(tmp_path / "table"))
    (weights,) = (tmp_path / "table").rglob("model.safetensors")
    save_file({"embeddings": static.embedding.weight.detach()}, weights)
    return str(tmp_path / "table")


def test_a_model_of_static_embeddings_encodes_single_words(table: str) -> None:
    words = ["cat", "catalysis", "c#"]
    found = encode_words(words, EncoderSettings(encoder=table))
    model = SentenceTransformer(table, device="cpu")
    tokenizer, matrix = model[0].tokenizer, model[0].embedding.weight.detach()
    means = torch.stack([matrix[tokenizer.encode(word, add_special_tokens=False).ids].mean(dim=0) for word in words])
    assert len(tokenizer.encode("catalysis", add_special_tokens=False).ids) > 1
    np.testing.assert_allclose(found, torch.nn.functional.normalize(means).numpy(), atol=1e-6)
    cut = encode_words(words, EncoderSettings(encoder=table, truncate_dim=3))
    np.testing.assert_allclose(cut, found[:, :3], atol=1e-6)
    assert encode_words(words, EncoderSettings(encoder=PACKAGED)) is None


def test_words_of_a_model_that_is_none_are_one_line(tmp_path: Path) -> None:
    assert encode_words(["cat"], EncoderSettings(encoder=str(tmp_path))) is None  # then it is loaded as an encoder
    (tmp_path / "modules.json").write_bytes(b"\xff")
    with pytest.raises(UserError, match=r"featurize_dense\.encoder: .*cannot be loaded"):
        encode_words(["cat"], EncoderSettings(encoder=str(tmp_path)))
    with pytest.raises(UserError, match=r"featurize_dense\.encoder: no/such-model cannot be loaded"):
        load_model(EncoderSettings(encoder="no/such-model"))


def test_a_model_of_static_embeddings_is_no_encoder_and_the_line_says_where_it_fits(table: str) -> None:
    with pytest.raises(UserError, match=r"table is not a transformer; .* set featurize_dense\.embedding to static"):
        Encoder(EncoderSettings(encoder=table))


def test_weights_that_are_pickled_are_not_read(reference: SentenceTransformer, tmp_path: Path) -> None:
    reference.save(str(tmp_path / "encoder"))
    assert Encoder(EncoderSettings(encoder=str(tmp_path / "encoder"))).dims == 384
    weights = tmp_path / "encoder/model.safetensors"
    torch.save(reference[0].auto_model.state_dict(), weights.with_name("pytorch_model.bin"))
    weights.unlink()
    with pytest.raises(UserError, match="cannot be loaded"):
        Encoder(EncoderSettings(encoder=str(tmp_path / "encoder")))


def test_a_layer_behind_the_transformer_is_the_top_one(reference: SentenceTransformer, tmp_path: Path) -> None:
    transformer, pooling, last = reference
    modules = [transformer, pooling, Dense(384, 16), last]
    SentenceTransformer(modules=modules, device="cpu").save(str(tmp_path))
    encoder = Encoder(EncoderSettings(encoder=str(tmp_path)))
    assert encoder.dims == 16 and encoder.encode(["a list"]).shape == (1, 16)
    top, *layers = encoder.layers()
    assert [tuple(parameter.shape) for parameter in top] == [(16, 384), (16,)]
    assert len(layers) == 6 + 1
    [weights] = tmp_path.glob("*_Dense/model.safetensors")
    torch.save(dict(zip(("linear.weight", "linear.bias"), top, strict=True)), weights.with_name("pytorch_model.bin"))
    weights.unlink()
    with pytest.raises(UserError, match=r"Dense/pytorch_model\.bin is not in safetensors"):
        Encoder(EncoderSettings(encoder=str(tmp_path)))


def test_a_title_counts_as_much_as_its_post(encoder: Encoder) -> None:
    title, body = "sort a list", "I have a list of numbers,\nand"
    posts = [Text(title, body), Text(title, ""), Text("", body)]
    encoded: list[str] = []
    vectors = encode_posts(encoder, lambda texts: encoded.extend(texts) or encoder.encode(texts), posts)
    whole, title_alone, body_alone = encoder.encode([f"{title}\n{body}", title, body])
    mean = (whole + title_alone) / np.linalg.norm(whole + title_alone)
    np.testing.assert_allclose(vectors, [mean, title_alone, body_alone], atol=1e-6)
    assert sorted(encoded) == sorted([f"{title}\n{body}", title, body])  # each text once


def test_a_fine_tuned_encoder_reads_titles_and_posts_alike(encoder: Encoder) -> None:
    posts = [Text("sort a list", "I have a list of numbers, and"), Text("sort", LONG), Text("", "two\nlines")]
    posts += [Text("sort a list", ""), Text("sort", "\u200b")]
    input_ids, offsets = tokenize_posts(encoder, posts)
    assert (input_ids == SEPARATOR).sum() == 2  # each at the end of a title that has a body behind it
    with torch.no_grad():
        vectors = encoder(torch.from_numpy(input_ids), torch.from_numpy(offsets), torch.ones(len(input_ids)))
    np.testing.assert_allclose(vectors, encode_posts(encoder, encoder.encode, posts), atol=1e-6)


def test_multiply_adds_are_those_of_every_token_that_is_read(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "MIN_BATCH_TOKENS", 0)  # so that none is read again
    read: list[int] = []
    layers = [module for module in encoder.modules() if isinstance(module, torch.nn.Linear)]
    counting = [layer.register_forward_hook(count_into(read)) for layer in layers]
    encoder.encode([*TEXTS, LONG])
    for hook in counting:
        hook.remove()
    lengths = np.array(list(map(len, encoder.tokenize([*TEXTS, LONG]))))
    assert encoder.multiply_adds(lengths) == sum(read)


def test_the_cost_of_a_post_includes_its_title(encoder: Encoder) -> None:
    posts = [Text(text[:20], text) for text in TEXTS if text]
    lengths = np.array(list(map(len, encoder.tokenize(distinct_texts(posts)))))
    measured = cost(encoder, posts)
    assert measured["multiply_adds"] == encoder.multiply_adds(lengths) / len(posts)
    assert measured["parameters"] == sum(parameter.numel() for parameter in encoder.parameters())
    assert measured["seconds"] > 0


def count_into(read: list[int]) -> Callable[[torch.nn.Module, tuple[torch.Tensor, ...], torch.Tensor], None]:
    def count(layer: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        assert isinstance(layer, torch.nn.Linear)
        read.append(inputs[0].numel() * layer.out_features)

    return count


def test_an_encoder_is_read_in_float32_whatever_it_was_saved_in(reference: SentenceTransformer, tmp_path: Path) -> None:
    copy.deepcopy(reference).to(torch.bfloat16).save(str(tmp_path / "encoder"))
    assert {
        parameter.dtype for parameter in Encoder(EncoderSettings(encoder=str(tmp_path / "encoder"))).parameters()
    } == {torch.float32}
