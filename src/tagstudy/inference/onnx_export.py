"""A predictor as a folder that a program without this project and without torch uses: text in, tags out.

model.onnx       the chosen system, with idf, calibration and thresholds inside: inference/tagger.py has its inputs
tags.json        the names of the tags
words.json       of counted words: the vocabulary, and the regular expressions of the tokenizer, as Python has them
tokenizer.json   of an encoder; encoder.json: how long its windows are, and what surrounds their subword tokens
tag.py, tag.mjs  programs that tag a post, for Python, and for Node where no encoder is needed; README.md
"""

import json
import re
import shutil
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tagstudy.core.checksums import checked
from tagstudy.core.config import EncoderSettings
from tagstudy.core.corpus import Text
from tagstudy.core.errors import UserError, needs
from tagstudy.core.files import atomic_folder, check_replaceable, read_json
from tagstudy.data.scripts import CHARACTER, EMOJI, JOINER, MARK, PLAIN, RUN
from tagstudy.data.text import MATTERS, PATTERN
from tagstudy.encoders.to_onnx import to_onnx
from tagstudy.inference.models import Arm
from tagstudy.inference.predictor import Predictor
from tagstudy.inference.tagger import Decider, EncoderArm, Tagger, WordArm

PROGRAMS = Path(__file__).parent / "exported"
CHECKED, CHECKED_ENCODED = 256, 24  # posts that the exported program is checked on; with an encoder
TOLERANCE = 1e-5
BFLOAT16 = 0.05  # in place of it where the study's encoder computes in bfloat16
WORD_INPUTS = {"columns": torch.ones(3, dtype=torch.int32), "counts": torch.ones(3)}
ENCODER_INPUTS = {
    "input_ids": torch.ones(4, 5, dtype=torch.int64),
    "attention_mask": torch.ones(4, 5, dtype=torch.int64),
    "of_title": torch.tensor([1.0, 1.0, 0.0, 0.0]),
}


def export_onnx(predictor: Predictor, folder: Path) -> str:
    """Write the folder and check it; returns a line that says so.

    Raises :class:`UserError` where a package is missing, where the folder is there and was not exported, where torch
    cannot export an encoder, and where the exported program's probabilities are further than TOLERANCE from the
    predictor's, or its tags are others.
    """
    with needs("onnx", "--export onnx"):
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401  # torch exports with it
    check_replaceable(folder, "model.onnx", "an export")
    with atomic_folder(folder) as fresh:
        tagger = write_arms(fresh, predictor)
        write_model(fresh / "model.onnx", tagger)
        write_text(fresh / "tags.json", predictor.names)
        for name in ("README.md", "tag.py", "tag.mjs"):
            shutil.copy(PROGRAMS / name, fresh / name)
        if (fresh / "encoder.json").exists():  # Node has no tokenizer of its own
            (fresh / "tag.mjs").unlink()
        rounded = any(isinstance(arm, EncoderArm) and arm.in_bfloat16 for arm in tagger.arms)
        gap = check(predictor, load_program(fresh / "tag.py"), BFLOAT16 if rounded else TOLERANCE)
        size = sum(path.stat().st_size for path in fresh.iterdir())
    return f"{folder}: {predictor.system}, {size / 1e6:.1f} MB, within {gap:.0e} of torch's values; see its README.md"


def write_arms(folder: Path, predictor: Predictor) -> Tagger:
    """The module of all arms, and the files of what makes their inputs."""
    counted = {name: arm for name, arm in predictor.arms.items() if (arm.features / "vocabulary.json").exists()}
    vocabularies = {name: read_json(arm.features / "vocabulary.json") for name, arm in counted.items()}
    vocabulary = list(dict.fromkeys(term for terms in vocabularies.values() for term in terms))
    arms: list[WordArm | EncoderArm] = []
    for name, arm in predictor.arms.items():
        arms.append(word_arm(arm, vocabularies[name], vocabulary) if name in vocabularies else encoder_arm(arm, folder))
    if vocabularies:
        longest = max(read_json(arm.features / "vectorizer.json").get("max_ngram", 1) for arm in counted.values())
        write_text(folder / "words.json", {"max_ngram": longest, **expressions(), "vocabulary": vocabulary})
    decider = Decider(predictor.decisions[predictor.system], len(predictor.names))
    return Tagger(arms, predictor.dense_weight, decider).eval()


def word_arm(arm: Arm, terms: list[str], vocabulary: list[str]) -> WordArm:
    column = {term: number for number, term in enumerate(terms)}
    columns = np.array([column.get(term, -1) for term in vocabulary])
    path = arm.features / "idf.npy"
    idf = np.load(checked(path)) if path.exists() else np.ones(len(terms))
    sublinear_tf = read_json(arm.features / "vectorizer.json")["sublinear_tf"]
    return WordArm(arm.network, arm.loss, columns, idf, sublinear_tf)


def encoder_arm(arm: Arm, folder: Path) -> EncoderArm:
    """Writes the encoder's tokenizer, too."""
    from tagstudy.encoders.encoder import Encoder

    settings = EncoderSettings(**read_json(arm.features / "vectorizer.json")["encoder"])
    if settings.dtype == "int8":
        raise UserError(
            "--export onnx: int8 encoders cannot be exported; set featurize_dense.dtype to float32 and run `dvc repro`"
        )
    encoder = arm.network.encoder or Encoder(settings)
    tokenizer = getattr(encoder.tokenizer, "backend_tokenizer", None)
    if tokenizer is None:
        raise UserError(f"--export onnx: {encoder.name} has no tokenizer.json; name another in featurize_dense.encoder")
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.save(str(folder / "tokenizer.json"))
    described = {name: getattr(encoder, name) for name in ("prompt", "lead", "window", "prefix", "suffix")}
    write_text(folder / "encoder.json", described | {"padding": encoder.tokenizer.pad_token_id or 0})
    fine_tuned = arm.network.encoder is not None  # then a post without a token is none that the arm knows: Arm.scores
    return EncoderArm(arm.network, arm.loss, encoder, encoder.special_tokens + 1 if fine_tuned else 0)


def expressions() -> dict[str, str]:
    """The tokenizer of data/text.py for any language with regular expressions.

    Nothing after a possessive quantifier can fail here, so greedy quantifiers match the same. Characters are written
    literally, because languages escape code points differently.
    """
    rest = rf"\w*(?:{MARK}+{JOINER}?\w*)*"
    token = PATTERN.replace("REST", rest).replace(r"\b", r"(?!\w)")
    patterns = {"plain": f"[{PLAIN}{EMOJI}]*", "run": RUN.pattern, "character": CHARACTER.pattern, "token": token}
    separating = [character for character in map(chr, range(128)) if character not in MATTERS]
    patterns["separator"] = "[" + "".join("\\" * (each in r"\[^-") + each for each in separating) + "]"
    number = re.compile(r"\\u([0-9a-f]{4})|\\U([0-9a-f]{8})")
    return {name: number.sub(lambda code: chr(int(code[1] or code[2], 16)), text) for name, text in patterns.items()}


def write_text(path: Path, value: Any) -> None:
    """ASCII, so that control characters and halves of pairs in character sets cause no trouble."""
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="ascii")


def write_model(path: Path, tagger: Tagger) -> None:
    terms, windows, longest = map(torch.export.Dim, ("terms", "windows", "longest"))
    inputs: dict[str, Tensor] = {}
    sizes: list[dict[int, Any]] = []
    if tagger.words:
        inputs |= WORD_INPUTS
        sizes += [{0: terms}, {0: terms}]
    if not all(arm.takes_words for arm in tagger.arms):
        inputs |= ENCODER_INPUTS
        sizes += [{0: windows, 1: longest}, {0: windows, 1: longest}, {0: windows}]
    to_onnx(tagger, path, inputs, ["probabilities", "predicted"], (tuple(sizes),), "--export onnx")


def load_program(path: Path) -> SimpleNamespace:
    """What the exported program defines. Nothing is written beside it, as an import would."""
    return SimpleNamespace(**run_path(str(path)))


def made_up_texts(program: SimpleNamespace, tags: list[str]) -> list[Text]:
    """Posts of words that the model knows, short and long, a title alone, and some of no word."""
    words = np.array([*program.COLUMNS] or ["how", "do", "i", "use", "this", "is", "it", *tags], dtype=object)
    generator = np.random.default_rng(0)
    posts = CHECKED_ENCODED if program.ENCODER else CHECKED
    lengths = generator.integers(0, [12, 60], (posts, 2)) * [1, 0] ** generator.integers(0, 2, (posts, 1))
    return [Text(*(" ".join(generator.choice(words, length)) for length in row)) for row in lengths]


def check(predictor: Predictor, program: SimpleNamespace, tolerance: float) -> float:
    """The largest difference of a probability.

    Raises :class:`UserError` where rounding of scores does not explain it, or tags are others: a steep calibration
    makes a small difference between scores a larger one between probabilities.
    """
    texts = made_up_texts(program, predictor.names)
    system = predictor.system
    scores = predictor.scores(texts, calibrated=False)[system].probabilities
    decided = predictor.decided(predictor.scores(texts)[system], system)
    decision, tags = predictor.decisions[system], np.arange(len(predictor.names))
    found, predicted = map(np.stack, zip(*(program.run(*text) for text in texts), strict=True))
    low, high = (decision.probabilities((scores + step).clip(0, 1), tags) for step in (-tolerance, tolerance))
    gap = float(np.abs(found - decision.probabilities(scores, tags)).max())
    if not ((low - TOLERANCE < found) & (found < high + TOLERANCE)).all():
        raise UserError(f"--export onnx: its probabilities differ from torch's by {gap:.1e}; please report this")
    if decision.top is None:
        other = (predicted != decided) & ((low >= decision.threshold) | (high < decision.threshold))
    else:  # which of several tags with one score is last may differ
        other = predicted.sum(axis=1) != decided.sum(axis=1)
    if other.any():
        raise UserError("--export onnx: it predicts other tags than torch; please report this")
    return gap
