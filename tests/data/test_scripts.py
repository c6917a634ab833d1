"""Text of every script: marks stay in their words, and runs without spaces become pairs of characters."""

import re
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagstudy.data.scripts import JAMO, MARK, NO_WORD, UNSPACED, is_plain
from tagstudy.data.tags import WORDS, parse_tags
from tagstudy.data.text import MARKED_TOKEN, TOKEN, tokenize

SPECIAL = re.compile(f"{MARK}|{UNSPACED}|{JAMO}")


def is_special(text: str) -> bool:
    return SPECIAL.search(text) is not None


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("हिन्दी में प्रोग्राम", ["हिन्दी", "में", "प्रोग्राम"]),
        ("ভাষা শিক্ষা", ["ভাষা", "শিক্ষা"]),
        ("مَرْحَبًا بكم", ["مَرْحَبًا", "بكم"]),
        ("שָׁלוֹם", [unicodedata.normalize("NFC", "שָׁלוֹם")]),
        ("क्\u200dष", ["क्\u200dष"]),
        ("한국어 처리", ["한국어", "처리"]),
        (unicodedata.normalize("NFD", "Café déjà in C#"), ["café", "déjà", "in", "c#"]),
        (unicodedata.normalize("NFD", "한국어"), ["한국어"]),
        ("Pythonで文字列を処理する", ["python", "で文", "文字", "字列", "列を", "を処", "処理", "理す", "する"]),
        ("如何在Python中排序", ["如何", "何在", "python", "中排", "排序"]),
        ("データ、C#とASP.NETで", ["デー", "ータ", "c#", "と", "asp.net", "で"]),
        ("node.jsの配列", ["node.js", "の配", "配列"]),
        ("ภาษาไทย", ["ภา", "าษ", "ษา", "าไ", "ไท", "ทย"]),
        ("เขียน", ["เขี", "ขีย", "ยน"]),
        ("か\u3099", ["が"]),
    ],
)
def test_tokens(text: str, tokens: list[str]) -> None:
    assert tokenize(text) == tokens


@given(st.text())
def test_composed_and_decomposed_text_have_the_same_tokens(text: str) -> None:
    assert all(token and not token.isspace() for token in tokenize(text))
    decomposed = unicodedata.normalize("NFD", text.lower())
    if is_special(decomposed):
        assert tokenize(decomposed) == tokenize(unicodedata.normalize("NFC", decomposed)) or is_plain(
            unicodedata.normalize("NFC", decomposed)
        )


@given(st.text(st.sampled_from("aéЖλ$.+#)] \n1_👩❤’") | st.characters(max_codepoint=0x2FF), max_size=30))
def test_plain_text_has_the_same_tokens_by_either_pattern(text: str) -> None:
    assert is_plain(text)
    assert TOKEN.findall(text) == MARKED_TOKEN.findall(text)


def test_plain_characters_are_those_that_are_not_special() -> None:
    plane, beyond = "".join(map(chr, range(0x10000))), "".join(map(chr, range(0x10000, 0x110000)))
    assert [character for character in plane if is_plain(character)] == list(SPECIAL.sub("", plane))
    emoji = list(filter(is_plain, beyond))
    assert {"👩", "😀", "🧵"} < set(emoji)
    assert not any(is_special(character) or re.match(r"\w", character) for character in emoji)


def test_every_plain_character_has_the_same_tokens_by_either_pattern() -> None:
    text = "\n".join(f"a{code:c}.{code:c}b {code:c}+" for code in range(0x110000) if is_plain(chr(code)))
    assert TOKEN.findall(text) == MARKED_TOKEN.findall(text)


def test_marks_of_words_alone_are_marks() -> None:
    marks = [code for code in range(0x110000) if unicodedata.category(chr(code))[0] == "M" and code not in NO_WORD]
    assert len([code for code in marks if is_special(chr(code))]) == len(marks)


@pytest.mark.parametrize("piece", ["\u0301", "a\u0301", "文", "ก\u0e35", "क्", "\u200d", "文a", "文.", "क्\u200d"])
def test_tokenizing_takes_linear_time(piece: str) -> None:
    start = time.process_time()
    tokenize(piece * 30_000)
    assert time.process_time() - start < 1


def test_tags_are_composed() -> None:
    assert parse_tags([unicodedata.normalize("NFD", "café"), "café"], WORDS) == ["café"]
