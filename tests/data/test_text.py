"""text.py: HTML becomes text and text becomes tokens, and nothing that a stranger posts makes either slow."""

import html
import re
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagstudy.core.corpus import Text
from tagstudy.data.text import clean, duplicate_key, token_sequences, tokenize


@pytest.mark.parametrize(
    ("markup", "words"),
    [
        ("<p>one</p><p>two</p>", ["one", "two"]),
        ("one<br>two<br/>three<br />four", ["one", "two", "three", "four"]),
        ("<ul><li>one</li><li>two</li></ul>", ["one", "two"]),
        ("<tr><td>one</td><td>two</td></tr>", ["one", "two"]),
        ("<h1>one</h1>two<hr>three", ["one", "two", "three"]),
        ('see<img src="a.png" alt="x">this', ["see", "this"]),
        ("<P CLASS='x'>one</P>\n<DIV\nid=y>two</DIV>", ["one", "two"]),
        ("<pre>one</pre>two", ["one", "two"]),
    ],
)
def test_block_tags_part_words(markup: str, words: list[str]) -> None:
    assert clean(markup).split() == words


@pytest.mark.parametrize(
    "markup",
    [
        "un<b>believ</b>able",
        "un<em>believ</em>able",
        "<span class='x'>un</span>believable",
        'un<a href="https://example.org/?a=1&amp;b=2" rel="nofollow">believ</a>able',
        "un<STRONG>believable</STRONG>",
    ],
)
def test_inline_tags_do_not_part_words(markup: str) -> None:
    assert clean(markup) == "unbelievable"


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<pre><code>for i in range(3):\n    print(i)\n</code></pre>", "for i in range(3):\n    print(i)"),
        ("<p>call <code>f(x)</code> now</p>", "call f(x) now"),
        ("<code>vector&lt;int&gt; v;</code>", "vector<int> v;"),
        ("<code>&lt;p&gt;</code>", "<p>"),
        ("&amp;lt; is shown as &lt;", "&lt; is shown as <"),
        ("caf&eacute; &#8364; &#x20AC; &quot;q&quot;", 'café € € "q"'),
        ("AT&T, a && b", "AT&T, a && b"),
    ],
)
def test_code_is_kept_and_entities_are_decoded_once(markup: str, text: str) -> None:
    assert clean(markup) == text


@pytest.mark.parametrize(
    "text",
    [
        "vector<int> v = map<string, int>()",
        "List<String> and Foo<T>",
        "if a < b and b > c",
        "x <- 3; y -> 4; z <= 5",
        "#include <iostream>",
        "",
        "no markup at all",
    ],
)
def test_plain_text_passes_unchanged(text: str) -> None:
    assert clean(text) == text


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("one<!-- unseen -->two", "one two"),
        ("one<!-- <p>un</p>\nseen -->two<!-- again -->three", "one two three"),
        ("one<script>unseen()</script>two", "one two"),
        ("one<SCRIPT type='x'>if (a < b) unseen()</SCRIPT >two", "one two"),
        ("one<style>p { color: red }</style>two", "one two"),
        ("one<!-- never closed <b>two</b>", "one  never closed two"),
        ("Where do I put a <script> in my page?", "Where do I put a   in my page?"),
        ("one<!-- unseen --><style>never closed <!-- two", "one  never closed <!-- two"),
        ("one<style>a</script>b</style>two", "one two"),
    ],
)
def test_comments_scripts_and_styles_are_dropped(markup: str, text: str) -> None:
    assert clean(markup) == text


def test_a_number_too_long_for_an_entity_is_text() -> None:
    assert clean("one &#" + "9" * 5000 + "; two").endswith("two")


@pytest.mark.parametrize(
    "piece",
    ["<!--", "<!-- -", "<p ", "<p\t", "<p/", "<a", "<", "<script", "<script>", "<style></script", "&amp", "-->"],
)
@pytest.mark.parametrize("head", ["", "<p"])
def test_cleaning_takes_linear_time(head: str, piece: str) -> None:
    start = time.process_time()
    clean(head + piece * 30_000)
    assert time.process_time() - start < 1  # a quadratic search takes a minute


@pytest.mark.parametrize("piece", [".", "$", "$.", "a.", "a.ne", "a.net", "+", "#", "a", "é", ".io", "a-"])
def test_tokenizing_takes_linear_time(piece: str) -> None:
    start = time.process_time()
    tokenize(piece * 30_000)
    assert time.process_time() - start < 1


NAMES = ["c#", "f#", "c++", "g++", ".net", "asp.net", "vb.net", "node.js", "socket.io", "$.ajax"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "sentence", ["{}", "{} now", "now {}?", "now {}.", "({})", "{}, {}; {}!", "{}/{}", "'{}'", "now\n{}\nnow", "{}:"]
)
@pytest.mark.parametrize("case", [str.lower, str.upper])
def test_names_of_technologies_survive(name: str, sentence: str, case: Callable[[str], str]) -> None:
    tokens = tokenize(case(sentence.format(name, name, name)))
    assert [token for token in tokens if token != "now"] == [name] * sentence.count("{}")


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("c#/.net", ["c#", ".net"]),
        ("C#.NET", ["c#", ".net"]),
        ("asp.net-mvc", ["asp.net", "mvc"]),
        ("c++11", ["c++", "11"]),
        ("list.append(x)", ["list", "append", "x"]),
        ("foo().bar[0].baz", ["foo", "bar", "0", "baz"]),
        ("built-in user's", ["built", "in", "user", "s"]),
        ("end.Start", ["end", "start"]),
        ("the network.", ["the", "network"]),
        ("a.network node.json", ["a", "network", "node", "json"]),
        ("$name = $('.cls')", ["$name", ".cls"]),
        ("snake_case x86 3.5", ["snake_case", "x86", "3", "5"]),
        ("Größe ÉTÉ Привет Ελληνικά", ["größe", "été", "привет", "ελληνικά"]),
        ("I \u2764\ufe0f C# 👩\u200d💻 1\ufe0f\u20e3", ["i", "c#", "1"]),
        ("a+b a++b == #", ["a", "b", "a++", "b"]),
        ("", []),
        (" \n...!?", []),
    ],
)
def test_tokens(text: str, tokens: list[str]) -> None:
    assert tokenize(text) == tokens


# What the pattern in text.py says, without its haste.
PLAIN_TOKEN = re.compile(r"(?:\$\.?|(?<![\w)\]])\.)?\w+(?:\.(?:io|js|net)\b)?(?:\+\+|#)?")


@given(st.lists(st.sampled_from([*"$.+#)] \na1_é", "io", "js", "net", ".net", "$.", "++"]), max_size=30).map("".join))
def test_tokens_are_those_of_the_plain_pattern(text: str) -> None:
    assert tokenize(text) == PLAIN_TOKEN.findall(text)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("How To  Sort\ta list", "how to sort a list", True),
        ("  title\n\nbody ", "title body", True),
        ("a\u00a0b", "A B", True),
        ("É", "é", True),
        ("c #", "c#", False),
        ("list.", "list", False),
    ],
)
def test_fold_ignores_case_and_white_space_alone(one: str, other: str, same: bool) -> None:
    assert (duplicate_key(one) == duplicate_key(other)) is same


@given(st.text())
def test_what_was_escaped_comes_back(text: str) -> None:
    assert clean(html.escape(text)) == text.strip()


@given(st.text(st.sampled_from("<>/&;!-='\" apbcodescript#x1é\n\0"), max_size=60))
def test_any_markup_becomes_text(markup: str) -> None:
    text = clean(markup)
    assert text == text.strip()
    assert len(text) <= len(markup)


@given(st.text(st.characters(max_codepoint=0x2FF) | st.sampled_from("Привет“…”👩")))
def test_tokens_stand_in_the_text_in_their_order(text: str) -> None:
    rest = text.lower()
    for token in tokenize(text):
        assert token and not any(character.isspace() for character in token)
        _, found, rest = rest.partition(token)
        assert found


@pytest.mark.parametrize(
    ("title", "body", "sequences"),
    [
        ("Sort a list", "in C#", [["sort", "a", "list", "in", "c#"], ["sort", "a", "list"]]),
        ("Sort a list", "", [["sort", "a", "list"]]),
        ("", "One line\nand another", [["one", "line", "and", "another"]]),
        ("Sort", "?!", [["sort"], ["sort"]]),
    ],
)
def test_a_title_counts_twice_where_there_is_a_body(title: str, body: str, sequences: list[list[str]]) -> None:
    assert token_sequences(Text(title, body)) == sequences


@given(st.text(st.characters(exclude_characters="\n")), st.text())
def test_a_title_and_a_body_have_the_tokens_of_their_text(title: str, body: str) -> None:
    assert token_sequences(Text(title, body))[0] == tokenize(str(Text(title, body)))
