"""From bytes to text: the encoding of a file is detected, or set by ``ingest.encoding``."""

import codecs
import io
from collections.abc import Iterator
from typing import IO

from tagstudy.core.errors import UserError
from tagstudy.data.files import File

HEAD = 2**20  # bytes that are looked at
SAMPLE = 2**16  # bytes that a detector gets
MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
REMEDY = "correct it, or set ingest.encoding, such as cp1252 for Western languages"
SCRIPTS = ("Arabic", "CJK", "Cyrillic", "Greek", "Hangul", "Hebrew", "Hiragana", "Katakana", "Thai")
# The usual encodings of these scripts, and of Latin letters. Others, such as those of old Macs, differ from them in few
# letters, and a detector that knows all of them takes short texts for those.
CANDIDATES = [
    *("cp1251", "koi8_r", "cp866", "iso8859_5", "cp1253", "cp1255", "cp1256", "iso8859_6", "cp874"),
    *("cp932", "euc_jp", "gb18030", "big5", "cp949"),
    *("cp1252", "cp1250"),
]


def undefined_in_cp1252(problem: UnicodeError) -> tuple[str, int]:
    """Bytes that windows-1252 leaves undefined are those of Latin-1, as browsers read them."""
    if not isinstance(problem, UnicodeDecodeError) or problem.encoding != "charmap":
        raise problem
    return problem.object[problem.start : problem.end].decode("latin-1"), problem.end


codecs.register_error("as_browsers", undefined_in_cp1252)


def text_lines(file: File, stream: IO[bytes]) -> Iterator[str]:
    """Lines with their ends, as csv wants them; a byte-order mark is skipped.

    Raises :class:`UserError` if the bytes are not valid in the encoding.
    """
    encoding = encoding_of(file, stream)
    file.detected["encoding"] = encoding.removesuffix("-sig")
    try:
        with decoded(stream, encoding) as lines:
            yield from lines
    except UnicodeError as problem:
        reason = getattr(problem, "reason", "invalid")
        raise UserError(
            f"{file.path}, after row {file.row}: not {encoding.removesuffix('-sig').upper()} ({reason}); "
            + remedy_of(file)
        ) from None


def remedy_of(file: File) -> str:
    if not file.options.binding:  # such as a file of predict.py's
        return "correct it"
    return "set ingest.encoding to that of the file, or to null" if file.options.encoding else REMEDY


def decoded(stream: IO[bytes], encoding: str) -> io.TextIOWrapper:
    errors = "as_browsers" if encoding == "cp1252" else "strict"
    return io.TextIOWrapper(stream, encoding=encoding, errors=errors, newline="")


class AsUtf8:
    """The bytes of a file in UTF-8, whatever its encoding."""

    def __init__(self, stream: IO[bytes], encoding: str) -> None:
        self.text = decoded(stream, encoding)

    def read(self, size: int = -1) -> bytes:
        return self.text.read(size).encode()


def encoding_of(file: File, stream: IO[bytes]) -> str:
    """The encoding that is set, or detected."""
    encoding = file.options.encoding
    if encoding is None or not file.options.binding:
        detected = find_encoding(stream)
        if encoding is None or detected.startswith("utf"):
            return detected
    try:
        name = codecs.lookup(encoding).name
        "".encode(name)
    except (LookupError, UnicodeError):
        raise UserError(f"{file.path}: ingest.encoding: Python has no encoding {encoding!r:.40}; try utf-8") from None
    return "utf-8-sig" if name == "utf-8" else name


def find_encoding(stream: IO[bytes]) -> str:
    """By the byte-order mark; else UTF-8 if the file's beginning is that, perhaps damaged; else by a detector."""
    head = stream.read(HEAD)
    stream.seek(0)
    for mark, encoding in MARKS.items():
        if head.startswith(mark):
            return encoding
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head, final=False)
    except UnicodeDecodeError:
        if is_damaged_utf8(head):
            return "utf-8-sig"
    else:
        if b"\0" not in head[:100]:
            return "utf-8-sig"
    if b"\0" in head:
        zeros = [head[start:2000:2].count(0) for start in (0, 1)]
        if 2 * max(zeros) > len(head[:2000]) // 2 and 4 * min(zeros) < max(zeros):
            return "utf-16-le" if zeros[1] > zeros[0] else "utf-16-be"
        return "utf-8-sig"  # not text: refused where it is decoded, or by its columns
    from charset_normalizer import from_bytes

    sample = head[:SAMPLE]
    if len(head) > SAMPLE:  # no character of several bytes has one below 0x30 behind its first
        whole = sample.rstrip(bytes(range(0x30, 256)))
        sample = whole if 2 * len(whole) > len(sample) else sample
    best = from_bytes(sample, cp_isolation=CANDIDATES).best()
    # Of encodings of Latin letters a detector knows little: they differ in few bytes, and cp1252 is by far the usual.
    if best and any(script in alphabet for script in SCRIPTS for alphabet in best.alphabets):
        return best.encoding
    return "cp1252"


def is_damaged_utf8(text: bytes) -> bool:
    """Whether most of its bytes beyond ASCII are UTF-8: in other encodings hardly any of them are, and by chance."""
    decoded = text.decode("utf-8", errors="replace")
    invalid = decoded.count("\N{REPLACEMENT CHARACTER}")
    return b"\0" not in text and sum(character > "\x7f" for character in decoded) > 2 * invalid
