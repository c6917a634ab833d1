"""Text of scripts that need more than a word pattern: combining marks, and words that no spaces separate."""

import re
import unicodedata
from collections.abc import Iterable
from itertools import pairwise

# Emoji, symbols, and letters of Old Church Slavonic and Coptic have marks that count for no part of a word.
NO_WORD = {
    *range(0x483, 0x48A),
    *range(0x20D0, 0x2100),
    *range(0x2C00, 0x2E00),
    *range(0xFE00, 0xFE10),
    *range(0xE0100, 0xE01F0),
}
LAST_MARK = 0x1F000


def character_class(codes: Iterable[int]) -> str:
    """A regular expression for one of these characters, which ascend.

    Those of the basic plane have a set of their own, in which `re` finds a character many times faster.
    """
    planes: dict[bool, list[list[int]]] = {False: [], True: []}
    for code in codes:
        ranges = planes[code > 0xFFFF]
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    sets = ("".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in ranges) for ranges in planes.values() if ranges)
    return f"(?:{'|'.join(f'[{inside}]' for inside in sets)})"


# Combining marks, such as the vowel signs of Devanagari and Arabic, and accents that stand apart.
MARK = character_class(
    code for code in range(0x300, LAST_MARK) if unicodedata.category(chr(code))[0] == "M" and code not in NO_WORD
)
# Letters of scripts that are written without spaces between words: Thai, Lao, Burmese, Khmer, kana and ideographs.
UNSPACED = (
    r"(?:[\u0e01-\u0e30\u0e32\u0e33\u0e40-\u0e46\u0e81-\u0eb0\u0eb2\u0eb3\u0ebd-\u0ec6\u0edc-\u0edf\u1000-\u102a\u103f"
    r"\u1050-\u1055\u1780-\u17b3\u17d7\u17dc\u3005-\u3007\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff"
    r"\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9d]|[\U00020000-\U0003ffff])"
)
JAMO = r"[\u1161-\u11ff]"  # letters of decomposed Hangul
JOINER = r"[\u200c\u200d]"  # within words of Indic scripts and of Persian
BASIC_PLANE = "".join(map(chr, range(0x10000)))


def basic(character: str) -> str:
    """The inside of a set: the characters of the basic plane that match. `re` looks these up in a bitmap."""
    runs = re.finditer(f"(?:{character})++", BASIC_PLANE)
    return "".join(f"\\u{run.start():04x}-\\u{run.end() - 1:04x}" for run in runs)


# Characters of scripts that need no special treatment, such as Latin, Greek and Cyrillic.
PLAIN = basic(rf"(?!{MARK}|{UNSPACED}|{JAMO})(?s:.)")
PLAIN_LETTERS = basic(rf"(?=\w)[{PLAIN}]")
EMOJI = r"\U0001f300-\U0001faff"
PLAIN_TEXT = re.compile(f"[{PLAIN}{EMOJI}]*+")
CHARACTER = re.compile(f"{UNSPACED}{MARK}*")
RUN = re.compile(f"(?:{UNSPACED}{MARK}*)+")


def is_plain(text: str) -> bool:
    """Whether all of a text is in scripts that need no special treatment, or emoji."""
    return PLAIN_TEXT.fullmatch(text) is not None


def separated(text: str) -> str:
    """The text, which is in Unicode's composed form, with runs of characters without spaces as pairs of characters."""
    return RUN.sub(pairs, text)


def pairs(run: re.Match[str]) -> str:
    """Pairs of neighbouring characters, each with its marks; they stand in for words that only a dictionary tells."""
    characters = CHARACTER.findall(run[0])
    words = map("".join, pairwise(characters)) if len(characters) > 1 else characters
    return f" {' '.join(words)} "
