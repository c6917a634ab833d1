"""From HTML to text, and from text to tokens: the same for both arms and for prediction."""

import html
import re

# Only names that HTML has are taken for tags, so that `vector<int>` in plain text stays. The names stand by their first
# letters: where that does not fit, the search need not try them all.
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
# What is never closed is no markup but talk of it, and the rest stays (taken whole, so that the search is linear).
UNSEEN = re.compile(
    r"<!--(?:.*?-->|(?P<comment>.*))|<(?P<tag>script|style)\b[^<>]*>(?:.*?</(?P=tag)\s*>|(?P<code>.*))",
    re.DOTALL | re.IGNORECASE,
)
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
            markup = UNSEEN.sub(lambda found: f" {found['comment'] or found['code'] or ''}", markup)
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


def title(post: str) -> str:
    """Its first line."""
    return post.partition("\n")[0]


def parts(post: str) -> list[str]:
    """What is counted: a post and, where it has a body, its title once more, which would drown in a long one."""
    return [post, title(post)] if "\n" in post else [post]


def words_of(post: str) -> list[str]:
    """The tokens of its parts."""
    return [token for part in parts(post) for token in tokenize(part)]
