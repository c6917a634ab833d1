"""From HTML to text, and from text to tokens: the same for both arms and for prediction."""

import html
import re

# Only names that HTML has are taken for tags, so that `vector<int>` in plain text stays.
INLINE = (
    "a|abbr|acronym|b|bdi|bdo|big|cite|code|del|dfn|em|font|i|ins|kbd|mark|q|s|samp|small|span|strike|strong|sub|sup|"
    "tt|u|var"
)
BLOCK = (
    "address|article|aside|blockquote|body|br|button|caption|center|col|colgroup|dd|details|div|dl|dt|fieldset|figcaption|"
    "figure|footer|form|h[1-6]|head|header|hr|html|iframe|img|input|label|legend|li|link|main|meta|nav|ol|optgroup|"
    "option|p|picture|pre|section|select|source|summary|table|tbody|td|textarea|tfoot|th|thead|tr|ul|video"
)
# An unclosed comment or script runs to the end, as in a browser (and the search stays linear).
UNSEEN = re.compile(r"<!--.*?(?:-->|\Z)|<(script|style)\b[^<>]*>.*?(?:</\1\s*>|\Z)", re.DOTALL | re.IGNORECASE)
UNSEEN_START = re.compile(r"<(?:!--|script|style)", re.IGNORECASE)  # most posts have none, and this is quicker to tell
ATTRIBUTES = r"""(?:\s+[\w:-]+(?:\s*=\s*(?:"[^"]*"|'[^']*'|[^\s"'<>]+))?)*\s*/?"""
INLINE_TAG = re.compile(rf"</?(?:{INLINE}){ATTRIBUTES}>", re.IGNORECASE)
BLOCK_TAG = re.compile(rf"</?(?:{BLOCK}){ATTRIBUTES}>", re.IGNORECASE)

# A word keeps what tells technologies apart: c#, c++, .net, asp.net, node.js, $.ajax. A leading dot counts only where
# a word begins; any other dot, hyphen or apostrophe parts two words (`list.append`, `built-in`).
# A set of characters comes first because the search skips to those fastest; behind it the rest of a bare word, of one
# after `$` or `$.`, or of one after a leading dot.
TOKEN = re.compile(
    r"[\w$.](?:(?<![$.])\w*+|(?<=\$)\.?\w++|(?<![\w)\]]\.)\w++)(?:(?=[.+#])(?:\.(?:io|js|net)\b)?(?:\+\+|#)?)?"
)


def clean(markup: str) -> str:
    """The text of an HTML fragment: code kept, tags gone, entities decoded.

    Plain text passes unchanged but for what reads like a tag or an entity of HTML.
    """
    if "<" in markup:
        if UNSEEN_START.search(markup):
            markup = UNSEEN.sub(" ", markup)
        markup = BLOCK_TAG.sub("\n", INLINE_TAG.sub("", markup))
    return unescape(markup).strip()


def unescape(text: str) -> str:
    """Decode HTML entities."""
    try:
        return html.unescape(text)
    except ValueError:  # an entity number of thousands of digits
        return text


def fold(text: str) -> str:
    """Lower-case with white space folded: two posts with the same fold are the same post."""
    return " ".join(text.lower().split())


def tokenize(text: str) -> list[str]:
    """Lower-case tokens, in order."""
    return TOKEN.findall(text.lower())
