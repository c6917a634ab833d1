"""Untrusted text, made safe to print: posts, tags and file names may hold control sequences for the terminal."""

import io
import json
import sys
from typing import Any, TextIO
from unicodedata import category

JOINERS = "\u200c\u200d"  # which letters of Persian and Hindi, and emoji, are spelled with


def visible(text: str) -> str:
    """The text on one line without invisible characters: white space becomes a space, zero-width ones are dropped.

    Control characters become U+FFFD. Joiners stay; so do lone surrogates, which no stream accepts anyway.
    """
    return text if text.isprintable() else "".join(map(visible_character, text))


def visible_character(character: str) -> str:
    if character.isspace():
        return " "
    match category(character):
        case "Cc":
            return "\N{REPLACEMENT CHARACTER}"
        case "Cf" if character not in JOINERS:
            return ""
    return character


def print_visible(text: str, file: TextIO | None = None) -> None:
    """Print lines that may hold text from outside, on standard output or to ``file``."""
    for line in text.split("\n"):
        print(visible(line), file=file)


def print_anywhere() -> None:
    """Let standard output take any character, whatever its encoding, and flush every line, also into a pipe."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # it may be closed
        sys.stdout.reconfigure(errors="backslashreplace", line_buffering=True)


def json_line(value: Any) -> str:
    """JSON, in which what cannot be printed is escaped."""
    line = json.dumps(value, ensure_ascii=False)
    if line.isprintable():
        return line
    return "".join(letter if letter.isprintable() else json.dumps(letter)[1:-1] for letter in line)
