"""Text of scripts that need more than a word pattern: combining marks, and words that no spaces separate."""

import re
import sys
import unicodedata
from collections.abc import Iterable
from itertools import pairwise

# Emoji, symbols, and letters of Old Church Slavonic and Coptic have marks that count for no part of a word.
NO_WORD = {
    *range(0x483, 0x48A),
    *range(0x20D0, 0x2100),
    *range(0x2C00, 0x2E00),
    *range(0xFE00, 0xFE10),
    *range(0xE0000, sys.maxunicode + 1),
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
JOINERS = r"[\u200c\u200d]"  # within words of Indic scripts and of Persian
SPECIAL_SETS = re.findall(r"\[(.*?)\]", MARK + UNSPACED + JAMO)
BEYOND = re.compile(r"\\U000[1-9a-f]")  # the basic plane
SPECIAL = [
    re.compile(f"[{''.join(inside for inside in SPECIAL_SETS if bool(BEYOND.match(inside)) == beyond)}]")
    for beyond in (False, True)
]
CHARACTER = re.compile(f"{UNSPACED}{MARK}*")
RUN = re.compile(f"(?:{UNSPACED}{MARK}*)+")
# Bytes of UTF-8 that no special character has first: a quick test, which most texts pass.
PLAIN_BYTES = bytes({*range(0xCC), *range(0xCE, 0xD5), 0xE2})


def is_plain(text: str) -> bool:
    """Whether a text is of scripts that need nothing more, such as Latin, Greek and Cyrillic."""
    if sys.getsizeof(text) < 2 * len(text):  # a byte a character: Latin-1
        return True
    if not text.encode(errors="surrogatepass").translate(None, PLAIN_BYTES):
        return True
    return not any(special.search(text) for special in SPECIAL)


def separated(text: str) -> str:
    """The text in Unicode's composed form, with runs of characters without spaces as pairs of characters."""
    return RUN.sub(pairs, unicodedata.normalize("NFC", text))


def pairs(run: re.Match[str]) -> str:
    """Pairs of neighbouring characters, each with its marks; they stand in for words that only a dictionary tells."""
    characters = CHARACTER.findall(run[0])
    words = map("".join, pairwise(characters)) if len(characters) > 1 else characters
    return f" {' '.join(words)} "
