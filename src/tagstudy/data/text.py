"""From HTML to text, and from text to tokens: the same for both arms and for prediction."""

import html
import re
import string
from unicodedata import normalize

from tagstudy.core.corpus import Text
from tagstudy.data.scripts import JOINER, MARK, PLAIN_LETTERS, is_plain, separated

# Only HTML's own element names count as tags, so that `vector<int>` in plain text stays. The names are grouped by their
# first letters: where those do not match, the search skips the whole group.
INLINE = (
    "a(?:bbr|cronym)?|b(?:d[io]|ig)?|c(?:ite|ode)|d(?:el|fn)|em|font|i(?:ns)?|kbd|mark|q|"
    "s(?:amp|mall|pan|trike|trong|u[bp])?|tt|u|var"
)
BLOCK = (
    "a(?:ddress|rticle|side)|b(?:lockquote|ody|r|utton)|c(?:aption|enter|ol(?:group)?)|d(?:d|etails|iv|l|t)|"
    "f(?:ieldset|ig(?:caption|ure)|ooter|orm)|h(?:[1-6r]|ead(?:er)?|tml)|i(?:frame|mg|nput)|l(?:abel|egend|i|ink)|"
    "m(?:ain|eta)|nav|o(?:l|pt(?:group|ion))|p(?:icture|re)?|s(?:ection|elect|ource|ummary)|"
    "t(?:able|body|d|extarea|foot|h(?:ead)?|r)|ul|video"
)
# Comments, scripts and styles are dropped. Unclosed tags are kept as text: the second branch takes all that follows, so
# that the search stays linear.
UNSEEN = re.compile(
    r"<!--(?:.*?-->|(?P<comment>.*))|<(?P<tag>script|style)\b[^<>]*>(?:.*?</(?P=tag)\s*>|(?P<code>.*))",
    re.DOTALL | re.IGNORECASE,
)
UNSEEN_START = re.compile(r"<(?:!--|script|style)", re.IGNORECASE)  # a quick test first: most posts have none
ATTRIBUTES = r"""(?:\s+[\w:-]+(?:\s*=\s*(?:"[^"]*"|'[^']*'|[^\s"'<>]+))?)*\s*/?"""
INLINE_TAG = re.compile(rf"</?(?:{INLINE}){ATTRIBUTES}>", re.IGNORECASE)
BLOCK_TAG = re.compile(rf"</?(?:{BLOCK}){ATTRIBUTES}>", re.IGNORECASE)

CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)  # in Markdown

# A token keeps the characters that distinguish technologies: c#, c++, .net, asp.net, node.js, $.ajax. A leading dot
# belongs to a token only at the start of a word; any other dot, hyphen or apostrophe separates two tokens
# (`list.append`, `built-in`).
# The pattern starts with a set of characters because `re` finds those fastest: a letter, or `$`, `$.` or a leading dot
# before a letter. Most words end behind the rest of the letters: a branch for that is faster than an optional group.
PATTERN = (
    r"[\w$.](?:(?<![$.])|(?<=\$)\.?(?=\w)|(?<![\w)\]]\.)(?=\w))REST"
    r"(?:(?![.+#])|(?:\.(?:io|js|net)\b)?(?:\+\+|#)?)"
)
# In plain text, a set of its letters is the same as \w, and faster.
TOKEN = re.compile(PATTERN.replace("REST", r"[\w]*+").replace(r"[\w", f"[{PLAIN_LETTERS}"))
# A table for bytes.translate that leaves tokens as they are: ASCII letters become small ones, and ASCII characters that
# only separate tokens spaces.
MATTERS = string.ascii_letters + string.digits + "_$.+#)]"
SEPARATE = bytes(byte if byte > 127 or chr(byte) in MATTERS else ord(" ") for byte in bytes(range(256)).lower())
SEPARATE_TEXT = dict(enumerate(SEPARATE[:128]))  # the same for str.translate
# Where words hold combining marks, and joiners behind these.
MARKED_TOKEN = re.compile(PATTERN.replace("REST", rf"\w*+(?:{MARK}++{JOINER}?+\w*+)*+"))


def clean(markup: str) -> str:
    """The text of an HTML fragment: code is kept, tags are removed, entities are decoded.

    Plain text stays as it is, except for parts that look like an HTML tag or entity.
    """
    if "<" in markup:
        if UNSEEN_START.search(markup):
            markup = UNSEEN.sub(lambda match: f" {match['comment'] or match['code'] or ''}", markup)
        markup = BLOCK_TAG.sub("\n", INLINE_TAG.sub("", markup))
    return unescape(markup).strip()


def clean_markdown(text: str) -> str:
    """The text of Markdown: as that of HTML, but what stands between backticks is code, not markup."""
    return clean(CODE.sub(lambda code: code[0].replace("<", "&lt;").replace(">", "&gt;"), text))


def unescape(text: str) -> str:
    """Decode HTML entities."""
    try:
        return html.unescape(text)
    except ValueError:  # an entity number of thousands of digits
        return text


def duplicate_key(text: str) -> str:
    """Lower-case text, runs of white space as one space: posts with the same folded text are repeats of one post."""
    return " ".join(text.lower().split())


def tokenize(text: str) -> list[str]:
    """Lower-case tokens, in order. Where no spaces separate words, pairs of characters are tokens.

    The tokens of a text are those of its chunks, where it is divided at white space: what stands in another chunk
    changes nothing.
    """
    if text.isascii():
        return TOKEN.findall(text.lower())
    # A capital sigma is a final one or not by what follows it: separators first, as where words are counted.
    text = normalize("NFC", text.translate(SEPARATE_TEXT).lower())
    return TOKEN.findall(text) if is_plain(text) else MARKED_TOKEN.findall(separated(text))


def token_sequences(text: Text) -> list[list[str]]:
    """The token sequences to count for a post: title and body as one, and the title once more.

    A title counts twice because it says most in fewest words, and would drown in a long body. A post with a title
    alone, or a body alone, is one sequence. An n-gram is a run within a sequence.
    """
    title, body = tokenize(text.title), tokenize(text.body)
    return [title + body, title] if text.title and text.body else [title + body]
