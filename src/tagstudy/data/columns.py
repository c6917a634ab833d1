"""The columns of a table: recognised by their usual names, or named in ``ingest.columns``."""

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import SequenceMatcher, get_close_matches
from operator import itemgetter
from typing import Any, NamedTuple

from tagstudy.core.errors import UserError
from tagstudy.data.files import File

USUAL = {  # a field and the names that its column may have, the first of them that is there
    "id": ["id", "question_id", "qa_id", "post_id"],
    "title": ["title", "question_title"],
    "body": [
        *("body", "content", "text", "question_body", "question_text", "comment_text"),
        *("description", "abstract", "summary"),
    ],
    "markdown": ["body_markdown", "selftext"],
    "text": ["cleaned_text"],
    "tags": ["tags", "labels", "terms", "keywords", "categories", "topics"],
    "split": ["split"],
    "kind": ["posttypeid", "post_type_id"],  # of a dump's posts: 1 is a question
}  # fmt: skip
RENAMED = ("title", "body", "tags")  # fields that a column is renamed to in messages
LIKE = 0.7  # of 1, how like a usual name another must be to be suggested
TEXT_FIELDS = ("title", "body", "markdown", "text")
# Names that a missing column often has instead, to suggest in the error.
LIKELY = {
    "tags": ["tag", "label", "category", "topic", "keyword", "class", "classes"],
    "title": ["question", "post", "document", "message", "subject", "headline", "sentence"],
}
FLAGS = {"1": True, "1.0": True, "true": True, "yes": True}  # in lower case
FLAGS |= {"0": False, "0.0": False, "false": False, "no": False, "": False}
# Names of columns that hold one tag each; then the numbers that Jira's export and pandas append to a repeated name.
NUMBERED = re.compile(r"(?:tags?|labels?|keywords?|category|categories|topics?)(?:[_./]?\d+|\[\d+\])(?:[_./]name)?")
REPEATED = re.compile(r"(?: \(\d+\)|\.\d+)")
REPEATED_HERE = re.compile(r" \(\d+\)")  # as tables.py numbers them
STATES = re.compile(r"(?:is|has)_.+|locked|stickied|archived|deleted|over_18|spoiler|edited")  # of a post: no tags
TEXT_WORDS = 3  # words of its cells, on average, make a column one of text
SHOWN_COLUMNS = 20  # columns that a message names


class Columns(NamedTuple):
    """The columns of each field. Several for body are read as one text.

    Several for tags hold a tag each: its name or, where ``multi_hot``, 0 or 1.
    """

    names: dict[str, list[str]]
    multi_hot: bool = False

    def needed(self) -> list[str]:
        return list(dict.fromkeys(name for names in self.names.values() for name in names))

    def no_question(self, row: Mapping[str, Any]) -> str:
        """Why a row of a dump's posts is none of the study; empty for a question, and where rows have no kind."""
        kind = self.names.get("kind")
        return no_question(str(row.get(kind[0]))) if kind else ""

    def fields(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of a row. Raises ValueError for a tag's column that holds neither 0 nor 1."""
        fields = {field: row.get(names[0]) for field, names in self.names.items()}
        if len(self.names.get("body", ())) > 1:
            fields["body"] = [row.get(name) for name in self.names["body"]]
        if len(self.names.get("tags", ())) > 1:
            fields["tags"] = tuple(row.get(name) for name in self.names["tags"])
        if self.multi_hot:
            fields["tags"] = [name for name in self.names["tags"] if flag(name, row.get(name))]
        return fields


def no_question(kind: str) -> str:
    """Why a post with this PostTypeId is left out; empty for a question. A number may have become one with a point."""
    match kind.strip().removesuffix(".0"):
        case "1":
            return ""
        case "2":
            return "answer"
    return "neither question nor answer"


def flag(name: str, value: Any) -> bool:
    """Whether a 0/1 column marks the post with its tag."""
    cell = "" if value is None or value != value else str(value).strip().lower()
    if cell not in FLAGS:
        raise ValueError(
            f"{cell!r:.40} in the column {name!r:.40}, neither 0 nor 1; name the columns of tags in ingest.columns.tags"
        )
    return FLAGS[cell]


def choose_columns(file: File, names: Sequence[str], sample: Sequence[Mapping[str, Any]]) -> Columns:
    """The columns named in ``ingest.columns``, else those with a usual name, else (for tags) the 0/1 columns.

    If ``file.options`` is not binding, a named column is used only where the file has it.
    Notes in ``file.detected`` which columns were taken, and which text columns were not. Raises :class:`UserError` for
    a named column that is missing, for a duplicate column name, for a file without text, and for one without tags
    where tags are needed.
    """
    names = [str(name) for name in names]
    chosen = {
        field: named_columns(file, field, names)
        for field in file.options.columns
        if file.options.binding or not stripped(file.options.columns_of(field)).isdisjoint(stripped(names))
    }
    if not file.options.tagged:
        chosen.pop("tags", None)
    body_is_named = "body" in chosen
    # A column named for one field is not taken for another: tags would be in the text that they are predicted from.
    named = {name for field, columns in chosen.items() if field != "id" for name in columns}
    simple = {simplified(name): name for name in reversed(names)}
    simple |= {name.strip().lower(): name for name in reversed(names)}
    for field, usuals in USUAL.items():
        if field in chosen or (field == "tags" and not file.options.tagged):
            continue
        if field in ("markdown", "text") and body_is_named:
            continue
        if usual := next((usual for usual in usuals if usual in simple and simple[usual] not in named), None):
            chosen[field] = [simple[usual]]
    if tags := chosen.get("tags"):
        number = REPEATED_HERE if "tags" in file.options.columns else REPEATED
        repeated = [name for name in names if any(number.fullmatch(name.removeprefix(tag)) for tag in tags)]
        chosen["tags"] = list(dict.fromkeys(tags + repeated))
    taken = {name for columns in chosen.values() for name in columns}
    if file.options.tagged and "tags" not in chosen:
        free = [name for name in names if name not in taken and not STATES.fullmatch(simplified(name))]
        flags = [name for name in free if is_flags(name, sample)]
        numbered = [name for name in free if is_numbered(name)]
        several = numbered if len(numbered) > 1 and not set(numbered) <= set(flags) else flags
        if len(several) > 1:
            chosen["tags"] = several
            taken.update(several)
    multi_hot = are_flags(chosen.get("tags", []), sample, isinstance(file.options.columns.get("tags"), list))
    check_columns(file, names, chosen)
    left_out = [name for name in names if name not in taken and is_text(name, sample)]
    file.detected |= {"columns": chosen, "multi_hot": multi_hot, "text_columns_left_out": left_out}
    return Columns(chosen, multi_hot)


def simplified(name: str) -> str:
    """A column's name without a prefix such as that of Attribute:Title, which an XML import gives, in lower case."""
    return spaceless(re.split(r"[:/@]", name)[-1])


def spaceless(name: str) -> str:
    return re.sub(r"[\s-]+", "_", name.strip().lower())


def is_numbered(name: str) -> bool:
    """Whether a column holds one of several tags, such as tag1, tags_1, tags[0] or tags/0/name."""
    return any(NUMBERED.fullmatch(spelled) for spelled in (simplified(name), spaceless(name)))


def stripped(names: Iterable[str]) -> set[str]:
    return {name.strip() for name in names}


def named_columns(file: File, field: str, names: list[str]) -> list[str]:
    """The columns of a field that ``ingest.columns`` names, spaces around their names aside."""
    known = {name.strip(): name for name in names} | {name: name for name in names}
    wanted = [name if name in known else name.strip() for name in file.options.columns_of(field)]
    for name in wanted:
        if name not in known:
            nearest = get_close_matches(name, names, n=1)
            remedy = f"did you mean {nearest[0]!r:.40}?" if nearest else f"name one of them in ingest.columns.{field}"
            raise UserError(f"{file.path}: no column {name!r:.40}; its columns are {listed(names)}; {remedy}")
    return [known[name] for name in wanted]


def listed(names: Sequence[str]) -> str:
    return ", ".join(f"{name!r:.40}" for name in names[:SHOWN_COLUMNS]) or "none"


def check_columns(file: File, names: list[str], chosen: dict[str, list[str]]) -> None:
    """Raise :class:`UserError` where a column is missing or not the only one of its name."""
    for wanted in [("tags",)] * file.options.tagged + [TEXT_FIELDS]:
        if not chosen.keys().isdisjoint(wanted):
            continue
        usual = [name for field in wanted for name in USUAL[field]]
        taken = {name for columns in chosen.values() for name in columns}
        likeliest = nearest([name for name in names if name not in taken], wanted)
        field = likeliest[1] if likeliest else wanted[0]
        remedy = f"rename {likeliest[0]!r:.40} to {field!r}, if it is that" if likeliest else "add one"
        if file.options.tagged:
            remedy += ", or name it in ingest.columns." + field
        if wanted == ("tags",) and not likeliest:
            remedy += ", or name posts that have tags in ingest.source"
        raise UserError(
            f"{file.path}: needs a column {' or '.join(map(repr, usual[:3]))}; its columns are {listed(names)}; "
            f"{remedy}"
        )
    for name in (name for columns in chosen.values() for name in columns):
        if names.count(name) > 1:
            raise UserError(f"{file.path}: {names.count(name)} columns are named {name!r:.40}; rename all but one")


def nearest(names: Sequence[str], wanted: Sequence[str]) -> tuple[str, str] | None:
    """The column that is most like a usual one of these fields, and its field; of equal ones the first field's."""

    def likeness(name: str, field: str) -> float:
        if name in LIKELY.get(field, ()) or not set(USUAL[field]).isdisjoint(name.split("_")):
            return 1
        return max(SequenceMatcher(None, name, usual).ratio() for usual in USUAL[field])

    pairs = [(name, field) for field in wanted if field in RENAMED for name in names]
    rated = [(likeness(simplified(name), field), name, field) for name, field in pairs]
    best, name, field = max(rated, key=itemgetter(0), default=(0, "", ""))
    return (name, field) if best >= LIKE else None


def cells(name: str, sample: Sequence[Mapping[str, Any]]) -> list[Any]:
    """What the sample holds in a column, without missing values."""
    values = (row.get(name) for row in sample)
    return [value for value in values if value is not None and value == value and value != ""]


def is_flags(name: str, sample: Sequence[Mapping[str, Any]]) -> bool:
    values = cells(name, sample)
    scalars = all(isinstance(value, str | int | float) for value in values)
    return bool(values) and scalars and all(str(value).strip().lower() in FLAGS for value in values)


def are_flags(tags: list[str], sample: Sequence[Mapping[str, Any]], named: bool) -> bool:
    """Whether columns of tags hold 0 or 1, not names: named ones where half of the cells do, others where all do."""
    values = [value for name in tags for value in cells(name, sample)]
    flags = sum(str(value).strip().lower() in FLAGS for value in values)
    return 0 < 2 * flags >= len(values) if named else len(tags) > 1 and 0 < flags == len(values)


def is_text(name: str, sample: Sequence[Mapping[str, Any]]) -> bool:
    texts = [value for value in cells(name, sample) if isinstance(value, str)]
    return sum(len(text.split()) for text in texts) >= TEXT_WORDS * max(1, len(texts))
