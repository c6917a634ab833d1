"""The only reader of params.yaml: it converts types, checks ranges and reports every problem at once.

params.yaml says what each parameter does; the classes below say which values it may take.
"""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, StringConstraints, ValidationError, model_validator

from tagstudy.core.errors import UserError
from tagstudy.core.plain_yaml import PlainLoader

# Every number has an upper end, far above what is of use.
Count = Annotated[int, Field(ge=1, le=10**9)]
Width = Annotated[int, Field(ge=1, le=10**5)]  # of a layer
Rate = Annotated[float, Field(gt=0, le=1e30)]  # float32 holds it; one that is too high ends with a NaN loss
Fraction = Annotated[float, Field(gt=0, lt=1)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Names = Annotated[list[Name], Field(min_length=1)]
Top = Annotated[str, StringConstraints(pattern=r"^top_[1-9]\d{0,8}$")]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
PROBLEMS = 20  # that a message names
Embedding = Literal["learned", "word2vec", "glove", "static", "encoder", "finetuned"]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Columns(Section):
    """The columns of a source that have no usual name."""

    id: Name | None
    title: Name | None
    body: Name | Names | None
    tags: Name | Names | None


class Ingest(Section):
    source: str
    columns: Columns
    tag_separator: str | None
    encoding: Name | None
    tags: Count | Names
    min_tags: Annotated[int, Field(ge=0, le=10**9)]
    split: Literal["random", "given"]
    folds: Annotated[int, Field(ge=1, le=100)]
    valid: Fraction
    test: Fraction
    seed: Seed
    unseen_tags: Literal["leave_out", "count"]
    max_train: Annotated[int, Field(ge=2, le=10**9)] | None
    max_malformed: Annotated[float, Field(ge=0, le=1)]

    @model_validator(mode="after")
    def leave_posts_to_train(self) -> "Ingest":
        if self.valid + self.test >= 1:
            raise ValueError("valid and test together leave no posts to train on; lower one")
        if self.folds == 2:
            raise ValueError("folds: 2 is too few: a fold needs train, valid and test parts; use 1, or 3 and more")
        if isinstance(self.tags, list) and len(set(self.tags)) < len(self.tags):
            raise ValueError("tags names a tag twice")
        if self.min_tags > (self.tags if isinstance(self.tags, int) else len(self.tags)):
            raise ValueError("min_tags is more than there are tags")
        return self


class EncoderSettings(Section):
    """A sentence encoder, and how it reads texts: all that its vectors depend on."""

    encoder: Name
    revision: Name | None = None
    prompt: Annotated[str, Field(max_length=10**4)] | None = None
    truncate_dim: Width | None = None
    max_length: Annotated[int, Field(ge=1, le=10**6)] | None = None
    dtype: Literal["float32", "bfloat16", "int8"] = "float32"


class FeaturizeDense(EncoderSettings):
    embedding: Embedding
    min_count: Count
    sublinear_tf: bool
    subwords: bool
    embedding_dim: Width
    word2vec_epochs: Annotated[int, Field(ge=1, le=1000)]
    vectors: str | None
    seed: Seed

    def encoder_settings(self) -> dict[str, Any]:
        """What :class:`EncoderSettings` takes, for a JSON file."""
        return self.model_dump(include=set(EncoderSettings.model_fields))


class FeaturizeTfidf(Section):
    max_features: Count | None
    min_df: Count
    max_ngram: Annotated[int, Field(ge=1, le=5)]
    sublinear_tf: bool


class Train(Section):
    """The parameters of an arm's training in force."""

    _places: dict[str, str] = PrivateAttr(default_factory=dict)  # of those that do not come from `train`

    runs: Annotated[int, Field(ge=1, le=1000)] | Literal["auto"]
    seed: Seed
    epochs: Annotated[int, Field(ge=0, le=10**5)]
    min_steps: Count
    max_steps: Count
    patience: Count
    loss: Literal["squared_hinge", "cross_entropy"]
    # With fewer, a batch might hold a single post, and batch normalisation needs a variance.
    batch_size: Annotated[int, Field(ge=3, le=10**6)]
    lr: Rate
    embedding_lr: Rate
    embedding_accumulator: Annotated[float, Field(ge=0, le=10**6)]
    weight_decay: Annotated[float, Field(ge=0, le=1000)]
    clip_value: Annotated[float, Field(gt=0, le=10**9)] | None
    pos_weight: bool
    hidden: Annotated[list[Width], Field(max_length=100)]
    skip_connection: bool
    batch_norm: bool
    activation: Literal["relu", "gelu", "tanh"]
    dropout: Annotated[float, Field(ge=0, lt=1)]
    word_dropout: Annotated[float, Field(ge=0, lt=1)]
    mixup: Annotated[float, Field(ge=0, le=1000)]
    freeze: bool
    encoder_lr: Rate
    layer_decay: Annotated[float, Field(gt=0, le=1)]
    warmup: Annotated[float, Field(ge=0, lt=1)]
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d{1,3})?)$")]
    threads: Annotated[int, Field(ge=1, le=256)]
    top_tags: Count

    @model_validator(mode="after")
    def bound_the_budget(self) -> "Train":
        for name in ("min_steps", "epochs"):
            if getattr(self, name) > self.max_steps:
                raise ValueError(f"{name}: {getattr(self, name)} is more than max_steps ({self.max_steps}); lower it")
        return self

    def place(self, parameter: str) -> str:
        """Where params.yaml sets a parameter, such as train_dense.encoder.lr."""
        return self._places.get(parameter, f"train.{parameter}")

    def overrides(self) -> dict[str, object]:
        """The parameters that the arm has of its own, by their places."""
        return {place: getattr(self, parameter) for parameter, place in self._places.items()}


class Evaluate(Section):
    threshold: Literal["tuned", "per_tag"] | Top | Fraction
    calibrate: Literal["none", "pooled", "per_tag"]
    resamples: Annotated[int, Field(ge=100, le=10**5)]
    margin: Annotated[float, Field(ge=0, lt=1)]

    @model_validator(mode="after")
    def threshold_what_is_calibrated(self) -> "Evaluate":
        if self.threshold == "per_tag" and self.calibrate != "per_tag":
            raise ValueError("threshold: per_tag needs probabilities calibrated per tag; set calibrate to per_tag too")
        return self


class Compute(Section):
    """The instructions of this processor, what starts training, who works on the shards of ingest and of counting."""

    instructions: Literal["common", "native"] = "common"
    launcher: Name = "python"
    workers: Annotated[int, Field(ge=1, le=10**4)] | Literal["auto"] = "auto"
    engine: Literal["local", "ray"] = "local"
    address: Name | None = None

    @model_validator(mode="after")
    def leave_a_cluster_its_workers(self) -> "Compute":
        if self.address is not None and self.engine != "ray":
            raise ValueError("address: is that of a Ray cluster; set engine to ray, or address to null")
        if self.address is not None and self.workers != "auto":
            raise ValueError("workers: a cluster at an address has its own; set workers to auto")
        return self


EVERY_CORE = Compute()


class Params(Section):
    ingest: Ingest
    featurize_dense: FeaturizeDense
    featurize_tfidf: FeaturizeTfidf
    train: Train
    train_dense: Train  # train, overridden by the arm's section, overridden by the part of the chosen embedding
    train_sparse: Train
    evaluate: Evaluate
    compute: Compute = EVERY_CORE

    @model_validator(mode="after")
    def share_what_both_arms_need(self) -> "Params":
        for name in ("device", "top_tags"):  # the fusion reads both arms' scores side by side
            if any(getattr(arm, name) != getattr(self.train, name) for arm in (self.train_dense, self.train_sparse)):
                raise ValueError(f"train.{name}: applies to both arms; remove {name} from the arm's section")
        return self


def read_params(path: Path = Path("params.yaml")) -> Params:
    """The parameters of all stages. Raises :class:`UserError` with all problems in one line."""
    try:
        raw = yaml.load(path.read_text(encoding="utf-8"), PlainLoader)  # it is a SafeLoader
    except (OSError, ValueError, yaml.YAMLError) as problem:
        raise UserError(f"{path}: cannot be read ({' '.join(str(problem).split())})") from None
    if not isinstance(raw, dict):
        raise UserError(f"{path}: holds no sections; restore the repository's with `git restore params.yaml`")
    featurize = raw.get("featurize_dense")
    embedding = featurize.get("embedding") if isinstance(featurize, dict) else None
    params = validated(raw, embedding, path)
    for other in get_args(Embedding):  # the parts for other embeddings are checked as well
        validated(raw, other, path)
    for arm, part in (("train_dense", params.featurize_dense.embedding), ("train_sparse", "")):
        getattr(params, arm)._places.update(places(raw[arm], arm, part))
    pretrained = params.featurize_dense.embedding in ("word2vec", "glove", "static")
    if params.train_sparse.freeze or (params.train_dense.freeze and not pretrained):
        raise UserError(
            f"{path}: only train_dense.freeze may be true, with a pretrained embedding (word2vec, glove, static)"
        )
    if params.train_dense.freeze and params.featurize_dense.subwords:
        raise UserError(
            f"{path}: featurize_dense.subwords changes the vectors that train_dense.freeze keeps; set only one"
        )
    if params.featurize_dense.embedding == "finetuned" and params.featurize_dense.dtype == "int8":
        raise UserError(
            f"{path}: featurize_dense.dtype: int8 is for frozen encoders; set float32 or bfloat16 to fine-tune"
        )
    return params


def validated(raw: dict, embedding: Any, path: Path) -> Params:
    """The parameters in force with this embedding."""
    try:
        return Params.model_validate(merged(raw, embedding))
    except ValidationError as problem:
        of_arm = raw.get("train_dense")
        overrides = places(of_arm, "train_dense", embedding) if isinstance(of_arm, dict) else {}
        raise UserError(f"{path}: {describe(problem, overrides)}") from None


def merged(raw: dict, embedding: object) -> dict:
    """The parameters with every arm's section completed from `train`, for this embedding."""
    arms = {"train_dense": get_args(Embedding), "train_sparse": ()}
    return raw | {
        arm: raw["train"] | chosen(raw[arm], parts, embedding)
        for arm, parts in arms.items()
        if isinstance(raw.get("train"), dict) and isinstance(raw.get(arm), dict)
    }


def chosen(section: dict, parts: Sequence[str], embedding: object) -> dict:
    """The overrides of an arm's section; those in the part of the chosen embedding take precedence."""
    part = section.get(embedding) if embedding in parts else None
    if part is not None and not isinstance(part, dict):
        part = {embedding: part}  # validation then rejects it as an unknown parameter
    return {key: value for key, value in section.items() if key not in parts} | (part or {})


def places(section: dict, arm: str, part: str) -> dict[str, str]:
    """Where each of the overrides of an arm's section stands."""
    of_arm = {key: f"{arm}.{key}" for key in section if key not in get_args(Embedding)}
    of_part = section.get(part)
    return of_arm | {key: f"{arm}.{part}.{key}" for key in (of_part if isinstance(of_part, dict) else ())}


def describe(problem: ValidationError, overrides: dict[str, str]) -> str:
    """All problems in one line, each with its parameter and, for an unknown one, the most similar name.

    ``overrides``: where each of the dense arm's own parameters stands
    """
    errors = problem.errors()
    places = {error["loc"] for error in errors}
    lines: dict[str, list[str]] = {}
    for error in errors:
        section, *inner = error["loc"] or [""]
        if section in ("train_dense", "train_sparse") and {("train",), ("train", *inner)} & places:
            continue  # the arm inherits it from train, where it is reported
        message = error["msg"].removeprefix("Value error, ")
        if error["type"] == "extra_forbidden":
            names = Params.model_fields[str(section)].annotation if inner else Params
            names = Columns if inner[:-1] == ["columns"] else names
            nearest = get_close_matches(str(error["loc"][-1]), names.model_fields, n=1)  # type: ignore[union-attr]
            message = "no such parameter" + (f"; did you mean {nearest[0]}?" if nearest else "")
        elif not isinstance(error["input"], dict):
            message += f", not {error['input']!r:.100}"
        depth = 3 if error["loc"][:2] == ("ingest", "columns") else 2  # behind it stand the types of a union
        place = ".".join(f"{part!s:.50}" for part in error["loc"][:depth])
        if section == "train_dense" and inner:
            place = overrides.get(str(inner[0]), place)
        lines.setdefault(place, []).append(message)
    problems = [(name and f"{name}: ") + " or ".join(messages[:PROBLEMS]) for name, messages in lines.items()]
    return "; ".join(problems[:PROBLEMS] + [f"and {len(problems) - PROBLEMS} more"] * (len(problems) > PROBLEMS))
