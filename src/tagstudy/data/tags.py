"""The spelling of tags: detected in each file from a sample of its rows, or set by ``ingest.tag_separator``."""

import ast
import json
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple
from unicodedata import normalize

from tagstudy.core.errors import UserError
from tagstudy.core.printing import visible
from tagstudy.data.columns import FLAGS
from tagstudy.data.files import File, as_text
from tagstudy.data.text import unescape

# Separators, strongest first. A tag may contain weaker ones than its own (`Smith, J.; Doe, K.`), but none stronger.
SEPARATORS = ["|", "；", ";", "，", "、", "،", ",", " "]
PATHS = [" > ", " / "]  # between categories; where another mark than a space separates, tags may hold these
SEPARATING = [*SEPARATORS[:-1], "\n", *PATHS]  # if many cells hold them
BITS = re.compile("[01]{3,}")  # a vector of 0 and 1 without spaces
ENOUGH = 0.05  # the fraction of a file's cells that holds its separator, at least
SCALAR = (str, float, bytes, type(None))
MISSING = {"nan", "NaN", "None", "character(0)"}  # as pandas and R write a missing value into a CSV
ZERO_OR_ONE = FLAGS.keys() - {""}  # in lower case: the entries of a vector, not names
OPENING = {")": "(", "]": "[", "}": "{", '"': '"', "'": "'"}
CLOSING = {"(": ")", "[": "]", "{": "}"}
LONGEST_LIST = 10_000  # characters; literal_eval needs hundreds of bytes of memory for each
# A printed list: of Python or JSON, a set, a tuple, numpy's array([...], dtype=object), R's c(...), Postgres's {a,b},
# or quoted tags between commas.
PRINTED = re.compile(r"""(?:[A-Za-z_.]\w*\()?\s*[\[({].*[\])}]|c\(.*\)|(["'])(?:(?!\1\s*[|;]\s*\1).)*\1""", re.DOTALL)
BARE_LIST = re.compile(r"""(?:\s*[\w.#+$][^]["',]*(?:,|$))+""")
QUOTED = re.compile(r'\s*"([^"]+)"\s*')
POSTGRES = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"\s*|([^,"]*))(?:,|$)', re.DOTALL)
ANGLED = re.compile(r"\A\s*<|<.*>|>.*<", re.DOTALL)  # what a tag of a list may be, but hardly one that stands in text
NAN = re.compile(r"(?:(?<=,)|^)\s*nan\s*(?=,|$)")  # as numpy prints a missing tag
CALL = re.compile(r"(?:c|(?:frozenset|set|list|tuple|(?:np\.|numpy\.)?array|Index))\((.*)\)", re.DOTALL)
DTYPE = re.compile(r",\s*dtype=[\w.<>'\"|]+\s*$")


KINDS = {
    "angle": "<a><b>",
    "escaped": "&lt;a&gt;&lt;b&gt;",
    "printed": "printed lists",
    "number": "numbers",
}


class Spelling(NamedTuple):
    """How tags are written in a cell of text. Lists need none."""

    kind: str  # separator, angle, escaped, printed or number
    separator: str | None = None  # of the kind separator; "": a cell is one tag
    is_set: bool = False  # by ``ingest.tag_separator``

    def __str__(self) -> str:
        if self.kind != "separator":
            return KINDS[self.kind]
        if self.separator == "\n":
            return "one tag per line"
        return f"a{self.separator}b" if self.separator else "one tag per cell"

    @property
    def escaped(self) -> bool:
        """Whether the file is double-escaped."""
        return self.kind == "escaped"


WORDS = Spelling("separator", " ")


def find_spelling(file: File, values: Iterable[Any]) -> Spelling:
    """The spelling of a file's tags, from a sample of its cells. Notes it in ``file.detected``.

    Where several columns hold tags, spaces do not separate them; where other cells are lists, a text is one tag.
    Raises :class:`UserError` for vectors of 0 and 1.
    """
    values = list(values)
    several = any(isinstance(value, tuple) for value in values)
    values = [cell for value in values for cell in (value if isinstance(value, tuple) else (value,))]
    values = [value for value in values if not is_missing(value)]
    texts = [value.strip() for value in values if isinstance(value, str)]
    holds_lists = any(isinstance(value, list) for value in values)
    separator = file.options.tag_separator
    spelling = guess(texts) if separator is None else Spelling("separator", separator, is_set=True)
    if values and all(isinstance(value, int | float) for value in values):  # of classes
        spelling = Spelling("number")
    if (several and spelling == WORDS) or (holds_lists and spelling.kind == "separator" and not spelling.is_set):
        spelling = Spelling("separator", "")
    if texts or separator is not None or spelling.kind == "number":
        file.detected["tag_spelling"] = str(spelling)
    refuse_vectors(file, values, spelling)
    return spelling


def guess(texts: list[str]) -> Spelling:
    def most(fits: Any) -> bool:
        return 2 * sum(map(bool, map(fits, texts))) > len(texts)

    if most(lambda text: text.startswith("<") and text.endswith(">")):
        return Spelling("angle")
    if most(lambda text: text.startswith("&lt;") and text.endswith("&gt;")):
        return Spelling("escaped")
    texts = list(map(unescape, texts))  # so that the semicolon of `&amp;` separates nothing
    if most(PRINTED.fullmatch):
        return Spelling("printed")
    held = {separator: sum(separator in text for text in texts) for separator in SEPARATING}
    separator = max(held, key=held.__getitem__)  # of equal ones the first
    return Spelling("separator", separator if held[separator] > ENOUGH * len(texts) else " ")


def refuse_vectors(file: File, values: list[Any], spelling: Spelling) -> None:
    lists = []
    for value in values:
        try:
            lists.append([as_text(tag) for tag in split_tags(value, spelling)])
        except ValueError:  # a malformed row, which is skipped later
            continue
    entries = {tag.lower() for tags in lists for tag in tags}
    if entries and (entries <= ZERO_OR_ONE or are_bits(values)):
        raise UserError(
            f"{file.path}: the tags column holds only 0 and 1, true and false, or yes and no; give tag names, or a 0/1 "
            "column for each tag instead of a tags column"
        )


def are_bits(values: list[Any]) -> bool:
    """Whether cells are vectors of 0 and 1 of one length, not all the same, with nothing between the numbers."""
    texts = {str(value).strip() for value in values}
    is_one_length = len(set(map(len, texts))) == 1 < len(texts)
    return is_one_length and all(map(BITS.fullmatch, texts))


def is_missing(value: Any) -> bool:
    if not isinstance(value, SCALAR):
        return False
    text = as_text(value).strip()
    return not text or text in MISSING


def parse_tags(value: Any, spelling: Spelling) -> list[str]:
    """Distinct tag names, in order, from a list or from text in this spelling.

    A tuple holds the cells of several columns. Raises ValueError for a list that does not parse, for an object without
    a name, and for a tag that still holds a part of another spelling, unless the separator is told.
    """
    if isinstance(value, tuple):
        return list(dict.fromkeys([tag for cell in value for tag in parse_tags(cell, spelling)]))
    if is_missing(value):
        return []
    name = tag_name if spelling.is_set else checked_name
    tags = dict.fromkeys([name(unescape(as_text(tag))) for tag in split_tags(value, spelling)])
    tags.pop("", None)
    return list(tags)


def tag_name(tag: str) -> str:
    """A tag in Unicode's composed form, on one line, without what cannot be seen."""
    return visible(normalize("NFC", tag)).strip()


@lru_cache(2**16)  # most tags of a post are tags of others too
def checked_name(tag: str) -> str:
    """The name of a tag, which may be empty. Raises ValueError for one that contains fragments of another spelling."""
    name = tag_name(tag)
    if name:
        check_tag(name)
    return name


def split_tags(value: Any, spelling: Spelling) -> list[Any]:
    if isinstance(value, bytes):
        value = as_text(value)
    if isinstance(value, str):
        value = split_text(value.strip(), spelling)
        if spelling.kind != "printed" and not spelling.is_set and (angled := list(filter(ANGLED.search, value))):
            raise ValueError(f"{angled[0]!r:.60} contains < or >, unlike other rows; set ingest.tag_separator")
    if spelling.kind == "number" and isinstance(value, int | float):
        value = [value]
    if not isinstance(value, list):
        raise ValueError(f"tags are not a list: {value!r:.60}")
    return [name_of(tag) if isinstance(tag, dict) else tag for tag in value]


def name_of(tag: dict[str, Any]) -> Any:
    """The name of a tag that is an object, such as a label of GitHub's."""
    if "name" not in tag:
        raise ValueError(f"a tag is an object without a name: {tag!r:.60}")
    return tag["name"]


def split_text(text: str, spelling: Spelling) -> list[Any]:
    kind, separator, is_set = spelling
    if kind != "printed" or not ("'" in text or '"' in text):  # there an escaped quote would end a tag
        text = unescape(text)
    if kind in ("angle", "escaped"):
        if not (text.startswith("<") and text.endswith(">")):
            raise ValueError(f"tags are not written as {spelling}, as in other rows: {text!r:.60}")
        return re.split(r">\s*[,;|]?\s*<", text[1:-1])
    if kind == "printed":
        return parse_list(text)
    if not separator:
        return [text]
    tags = [unquoted(tag) for tag in (text.split() if separator == " " else text.split(separator))]
    if is_set:
        return tags
    foreign = SEPARATORS[: SEPARATORS.index(separator)] if separator in SEPARATORS else []
    marks = [mark for mark in [*foreign, *(PATHS if separator == " " else [])] if mark in text]
    if separator != " " and any("\n" in tag.strip() for tag in tags):
        marks.append("\n")
    if marks:
        raise ValueError(
            f"{marks[0]!r} in tags that are written as {spelling} in other rows: {text!r:.60}; set ingest.tag_separator"
        )
    return tags


def unquoted(tag: str) -> str:
    """A tag without the quotes around it, as where a cell is itself a row of a CSV."""
    quoted = QUOTED.fullmatch(tag)
    return quoted[1] if quoted else tag


def check_tag(tag: str) -> None:
    """Raise ValueError for a tag that still contains fragments of another spelling, such as ``['a'`` or ``&lt;a``."""
    opening, closing = OPENING.get(tag[-1]), CLOSING.get(tag[0])
    opened = opening is None or opening in tag[1:-1]  # as `learning (machine)` is
    closed = closing is not None and closing in tag[1:-1]  # as `[Type] Bug` is
    parts = "][" in tag or ")(" in tag or "}{" in tag
    if (tag[0] in "{}()[]\"'&" and not closed) or not opened or parts or tag[-1] in "{([&" or "&lt;" in tag:
        raise ValueError(f"{tag!r:.60} looks like part of a list, not a tag; set ingest.tag_separator")


def is_number(text: str) -> bool:
    try:
        float(text or 0)
    except ValueError:
        return False
    return True


def parse_list(text: str) -> list[Any]:
    """A printed list. A numpy array has no commas (`['a' 'b']`, which Python would read as ['ab'])."""
    if len(text) > LONGEST_LIST:
        raise ValueError(f"a list of tags of more than {LONGEST_LIST:,} characters")
    if text[:1].isalpha() and (call := CALL.fullmatch(text)):
        text = DTYPE.sub("", call[1].strip())
    inner = text[1:-1].strip() if text[:1] + text[-1:] in ("[]", "()", "{}") else text
    if not inner:
        return []
    if inner[0] == inner[-1] == "'" and '"' not in inner and "\\" not in inner:  # most often; literal_eval is slow
        tags = re.split(r"'(?:\s*,\s*|\s+)'", inner[1:-1])
        if not any("'" in tag for tag in tags):
            return tags
    inner = re.sub(r"""(?<=['"])\s+(?=['"])""", ", ", inner)
    in_braces = text.startswith("{") and text.endswith("}")  # Postgres quotes only where it must, a set always by '
    for parse in (json.loads, ast.literal_eval, literals_and_nan) if not in_braces or "'" in inner else ():
        try:
            return list(parse(f"[{inner}]"))
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
    if text.startswith("[") and BARE_LIST.fullmatch(inner) and not all(map(is_number, re.split(r"[\s,]+", inner))):
        return [tag for tag in inner.split(",") if tag.strip() != "null"]  # as Athena and Spark write it
    if in_braces:
        return parse_braces(inner)
    raise ValueError(f"tags are not a list: {text:.60}")


def literals_and_nan(text: str) -> list[Any]:
    return list(ast.literal_eval(f"[{NAN.sub('None', text[1:-1])}]"))


def parse_braces(inner: str) -> list[str]:
    """The tags between the braces of Postgres. Raises ValueError where other marks stand there, as in a mapping."""
    elements = list(POSTGRES.finditer(inner))
    if sum(len(element[0]) for element in elements) < len(inner):
        raise ValueError(f"tags are not a list: {{{inner:.60}}}")
    texts = [
        bare if quoted is None else re.sub(r"\\(.)", r"\1", quoted) for quoted, bare in map(re.Match.groups, elements)
    ]
    return [text for text, element in zip(texts, elements, strict=True) if element[0].strip(" ,").upper() != "NULL"]
