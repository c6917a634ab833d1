"""Write Posts.xml, a synthetic sample in the layout of a Stack Exchange data dump.

The study needs posts to run on before anybody has fetched a real dump, so a
fresh clone brings about 6,000 invented questions and a few hundred answers.
All text is put together from the phrase bank in phrases.txt, written for this
purpose. The sample is made to be as awkward as real posts are: one need is
worded in many ways, people name other technologies than the one they use,
mistype, repeat a post, and tag the same question differently.

    python data/sample/write_sample.py [TARGET]

The output depends on nothing but this file and phrases.txt: the same bytes
come out on each run, on each version of Python that the study runs on.
"""

import html
import random
import re
import sys
from collections import defaultdict
from datetime import datetime, timedelta
from pathlib import Path

HERE = Path(__file__).resolve().parent
SEED = 1717
REPEATS = 60  # questions asked again, some of them with other tags
ANSWERS = 350

# How many questions carry which of the ten tags, and what they are about. The
# themes overlap on purpose: a question on scripts in a page may be tagged for
# the library, for the language or for what runs on the server.
PAIRS = {
    "javascript jquery": (2311, "client 58 plugin 20 plainjs 14 any 5 phpclient 2 aspclient 1"),
    "c# asp.net": (950, "webform 45 mvc 22 sharp 20 aspclient 4 any 9"),
    "java android": (855, "android 76 java 13 any 10 webview 1"),
    "javascript php": (291, "phpclient 52 client 12 php 22 plainjs 6 any 8"),
    "javascript asp.net": (202, "aspclient 60 client 15 webform 17 any 8"),
    "jquery asp.net": (95, "aspclient 50 client 15 plugin 15 mvc 12 any 8"),
    "jquery php": (190, "phpclient 52 plugin 14 client 10 php 17 any 7"),
    "c# javascript": (71, "aspclient 40 client 20 plainjs 15 sharp 15 any 10"),
    "c# jquery": (59, "aspclient 45 mvc 25 plugin 20 any 10"),
    "java javascript": (53, "plainjs 30 client 25 java 30 any 15"),
    "javascript android": (42, "webview 70 client 10 android 10 any 10"),
    "c# c++": (48, "native 54 cpp 32 sharp 9 any 5"),
    "java c++": (30, "native 34 cpp 50 java 11 any 5"),
    "java python": (30, "python 84 java 8 any 8"),
    "c# java": (36, "java 35 sharp 35 any 30"),
    "c# android": (24, "android 60 sharp 30 any 10"),
    "java jquery": (18, "plugin 60 java 30 any 10"),
    "c# python": (12, "python 85 sharp 10 any 5"),
    "c# php": (12, "php 50 sharp 20 any 30"),
    "c# iphone": (12, "iphone 85 any 15"),
    "php asp.net": (12, "php 50 webform 30 any 20"),
    "java php": (12, "php 45 java 35 any 20"),
    "php android": (12, "android 60 php 40"),
    "android iphone": (12, "iphone 70 webview 20 any 10"),
    "c++ python": (12, "cpp 50 python 50"),
    "javascript python": (12, "python 70 client 30"),
    "jquery android": (6, "webview 80 plugin 20"),
    "javascript c++": (6, "cpp 100"),
    "php python": (6, "python 70 php 30"),
    "javascript iphone": (6, "iphone 70 webview 30"),
    "jquery iphone": (6, "iphone 80 plugin 20"),
    "javascript jquery asp.net": (202, "aspclient 56 client 18 plugin 12 mvc 8 any 6"),
    "javascript jquery php": (178, "phpclient 60 client 18 plugin 12 any 10"),
    "c# jquery asp.net": (48, "aspclient 55 mvc 35 any 10"),
    "c# javascript asp.net": (36, "aspclient 65 webform 25 any 10"),
    "java javascript jquery": (36, "client 45 plugin 25 java 20 any 10"),
}
# Questions that the study leaves out: one of the ten tags, or none.
SINGLES = {
    "javascript": (45, "plainjs 60 client 40"),
    "jquery": (25, "plugin 60 client 40"),
    "c#": (25, "sharp 100"),
    "java": (25, "java 100"),
    "php": (20, "php 100"),
    "android": (10, "android 100"),
    "python": (8, "python 100"),
    "c++": (8, "cpp 100"),
    "": (19, "any 100"),
}
SIDE_TAGS = {
    "client": "html css dom forms html5 internet-explorer",
    "plugin": "jquery-ui ajax json html plugins",
    "plainjs": "html regex arrays dom json",
    "webform": "sql-server gridview visual-studio iis vb.net",
    "mvc": "asp.net-mvc-3 razor entity-framework .net",
    "sharp": ".net linq winforms visual-studio sql-server",
    "aspclient": "ajax html updatepanel webforms",
    "java": "swing eclipse hibernate jsp spring",
    "android": "eclipse sqlite listview android-layout xml",
    "php": "mysql html arrays apache",
    "phpclient": "ajax mysql html json",
    "cpp": "stl pointers templates visual-studio",
    "native": "pinvoke dll interop",
    "python": "django unicode list",
    "iphone": "ios objective-c safari",
    "webview": "phonegap webview html5",
    "any": "regex json algorithm datetime sql xml oop",
}
TAG_NAMES = {
    "c#": "C#|c#|C sharp|.NET",
    "java": "Java|java|JAVA",
    "php": "PHP|php",
    "javascript": "JavaScript|Javascript|javascript|js|JS",
    "android": "Android|android",
    "jquery": "jQuery|JQuery|jquery|jq",
    "c++": "C++|c++|cpp",
    "python": "Python|python",
    "iphone": "iPhone|iphone|iOS",
    "asp.net": "ASP.NET|asp.net|Asp.Net|ASP",
}
RARE = ["c++", "python", "iphone"]  # named by those who use them, seldom by others
COMMON = [tag for tag in TAG_NAMES if tag not in RARE]

# What the imagined programs deal with. Each word starts with a consonant and
# takes a regular plural, so that "a {thing}" and "{things}" read well.
THINGS = """
    badge bag ballot banner basket batch bike bill boat book booking bottle box branch budget
    building bus cabin cable camera campaign candidate car card cargo category chapter cheque
    city claim clip club coach coin colour comment company concert contact container contract
    cook country coupon course court crate customer dealer deck delivery department deposit
    device diary dish district doctor document donor door draft driver factory family farm
    feature fee feed field file film filter flag flat flight flower folder forecast form
    friend gallery game garage garden gate gift goal grade grant group guest guide gym habit
    hall hotel house job joke journey judge kitchen label lamp language league lecture lesson
    letter level library licence line link loan location locker log lottery machine magazine
    manager map market match meal medal meeting member memo menu message meter milestone model
    module motor movie museum news-item nominee note notice nurse package page painting panel
    parcel park parking-place part partner party passenger patient payment penalty pet phase
    phone photo plan plane plant player playlist plot poem policy poll pool post poster
    prescription price printer prize product profile project province puzzle quest question
    quiz-round quote race rating receipt recipe record region release rental repair report
    request reservation result review reward ride road role room round route rule sale sample
    schedule school score screen season seat section seminar sensor server shelf-label shift
    shipment shop sign signal site skill slide slot song speaker sponsor staff-member stall
    stamp station step stock store story street student subject supplier survey symbol table
    task tax teacher team template tenant test theatre thesis-draft ticket tile timesheet tip
    token tool topic tour toy track trade trail train transfer trip trophy truck vaccine van
    vehicle vendor venue video village visit visitor volunteer voucher wagon waiter wallet
    ward warehouse watch wedding wine winner worker workshop yacht zone
""".split()
FIELDS = """
    price name city date status total size colour weight rank title quantity score phone code
    street country deadline balance length comment discount category holder gender birthday
    currency position version priority percentage language postcode duration nickname
""".split()
VERBS = """
    load get show update save check build fill draw find calc init refresh validate send read
    parse remove toggle handle print render sort process fetch reset make do
""".split()
WHO = "customer client boss manager teacher user designer supervisor colleague tester".split()
BROWSERS = "IE|IE7|IE8|IE 6|IE9|Chrome|Safari|Opera|Firefox 3.6|internet explorer".split("|")
DAYS = "Monday Tuesday Wednesday Thursday Friday week month night".split()

# Words that mean much the same, for some of the places where they occur.
SYNONYMS = {
    "show": "display", "shown": "displayed|visible", "picture": "photo|pic",
    "pictures": "images|photos|pics", "needs": "wants", "works": "is fine|behaves|runs",
    "button": "btn", "press": "hit|click on", "pressing": "hitting",
    "pressed": "hit|clicked|pushed", "clicked": "pressed|hit", "clicking": "pressing",
    "remove": "delete|kill|take out", "removed": "deleted|dropped", "removal": "deletion",
    "crashes": "dies|blows up|fails", "crash": "die|blow up", "user": "visitor",
    "users": "visitors", "fetched": "loaded|retrieved", "fetch": "load|retrieve|pull",
    "reply": "response", "called": "invoked|executed|triggered", "saved": "stored|persisted",
    "value": "content", "rows": "lines|records", "drop-down": "dropdown|combo|select box",
    "database": "db|DB", "fine": "ok|good|okay|alright", "quickly": "fast",
    "find": "locate|spot", "send": "submit|post", "sent": "submitted|posted",
    "trouble": "problems|issues", "always": "every time|constantly|each time", "my": "our",
    "I'd": "I would", "it's": "it is", "doesn't": "does not|won't", "isn't": "is not",
    "can't": "cannot|can not", "I'm": "I am", "function": "method|func",
    "slow": "sluggish|laggy", "wants": "needs|asks for", "strange": "weird|funny",
    "starts": "begins", "several": "multiple|more than one", "big": "large|huge",
    "tiny": "small", "gone": "lost|missing", "appears": "pops up|shows up", "whole": "complete",
    "fails": "breaks|errors out",
}
SHORTHAND = {
    "please": "pls", "you": "u", "your": "ur", "because": "bc", "thanks": "thx", "with": "w/",
    "don't": "dont", "doesn't": "doesnt", "can't": "cant", "isn't": "isnt", "I'm": "im",
    "I've": "ive", "it's": "its", "and": "&", "something": "sth", "I": "i", "parameter": "param",
    "parameters": "params", "application": "app", "database": "db", "are": "r",
    "without": "w/o", "really": "rly", "javascript": "js", "jquery": "jq",
}
ANSWER_OPENINGS = ["Try this.", "Had the same.", "That's a known trap.", "Hm.", "Easy:", "Sure."]


def read_phrases(path):
    """Return {theme: [need, ...]} and {theme: {kind: [line, ...]}}."""
    needs, shared, block = defaultdict(list), {}, None
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        kind, rest = line.split(" ", 1)
        if kind == "need":
            block = defaultdict(list)
            needs[rest].append(block)
        elif kind == "theme":
            block = shared[rest] = defaultdict(list)
        else:
            block[kind].append(rest.replace("\\n", "\n"))
    return needs, shared


def plural(word):
    if re.search(r"[^aeiou]y$", word):
        return word[:-1] + "ies"
    return word + ("es" if re.search(r"(s|x|ch|sh)$", word) else "s")


def camel(words):
    return "".join(part.capitalize() for part in words.split("-"))


class Asker:
    """One person with one program: fills slots and writes in one manner."""

    def __init__(self, rng, tags):
        self.rng = rng
        self.lower = rng.random() < 0.17  # never uses capitals
        self.terse = rng.random() < 0.12  # abbreviates
        self.sloppy = rng.random() < 0.15  # leaves out apostrophes, has a full stop of its own
        self.stop = rng.choice(["", "", " ...", "!"])
        self.typos = rng.choice([0, 0, 0, 0.01, 0.02, 0.05])
        self.slots = self.invent(tags)

    def invent(self, tags):
        pick, number = self.rng.choice, self.rng.randint
        thing, field, verb = pick(THINGS), pick(FIELDS), pick(VERBS)
        name, names, value = camel(thing), camel(plural(thing)), camel(field)
        low = name[0].lower() + name[1:]
        ids = f"{low}List tbl{names} {low}-{field} div{name} btn{verb.capitalize()}{name} {low}Box"
        ids += f" {low}_{field} txt{name}{value} lst{names} {low}{value} ddl{names}"
        classes = f"{low}-row {low}-item {low}_{field} {field} active-{low} {low}Link"
        functions = f"{verb}{name} {verb}{names} {verb}{value} {verb}{name}{value} {verb}_{low}"
        variables = f"{low}{value} {low}Count total{names} current{name} {low}_id my{name}"
        ending = pick([".php", ".aspx", "", "/list", ".html"])
        own = pick([tag for tag in tags if tag in RARE] or tags or ["java"])
        other = pick([tag for tag in [*TAG_NAMES, *COMMON, *COMMON] if tag not in tags])
        function = pick(functions.split())
        return {
            "thing": thing.replace("-", " "), "things": plural(thing).replace("-", " "),
            "Thing": name, "Things": names, "field": field, "Field": value,
            "id": pick(ids.split()), "fn": function, "Fn": function[0].upper() + function[1:],
            "var": pick(variables.split()), "n": str(number(2, 19)), "big": str(number(3, 90) * 50),
            "cls": pick(classes.split()), "page": pick([plural(low), verb + name, low]) + ending,
            "date": f"{number(1, 28)}/{number(1, 12)}/20{number(10, 13)}",
            "browser": pick(BROWSERS), "who": pick(WHO), "day": pick(DAYS),
            "own": pick(TAG_NAMES[own].split("|")),
            "other": pick(TAG_NAMES[other].split("|")),
        }

    def fill(self, line, code=False):
        slots = self.slots
        if code:  # in code a thing is an identifier
            low = slots["Thing"][0].lower() + slots["Thing"][1:]
            names = slots["Things"][0].lower() + slots["Things"][1:]
            slots = slots | {"thing": low, "things": names}
        return re.sub(r"\{(\w+)\}", lambda slot: slots.get(slot[1], slot[0]), line)

    def word(self, match):
        """Perhaps put another word, a short form or a typo in place of a word."""
        word, rng = match[0], self.rng
        if word in SYNONYMS and rng.random() < 0.35:
            word = rng.choice(SYNONYMS[word].split("|"))
        if self.terse:
            word = SHORTHAND.get(word, SHORTHAND.get(word.lower(), word))
        if self.sloppy:
            word = word.replace("'", "")
        if len(word) > 3 and rng.random() < self.typos:
            at = rng.randrange(1, len(word) - 1)
            swapped = word[:at] + word[at + 1] + word[at] + word[at + 2:]
            dropped = word[:at] + word[at + 1:]
            doubled = word[:at] + word[at] + word[at:]
            word = rng.choice([swapped, dropped, doubled])
        return word.lower() if self.lower else word

    def say(self, line):
        """Fill a line of prose and put it into this asker's manner."""
        parts = re.split(r"(`[^`]*`|\]\([^)]*\))", line)  # leave code and links alone
        for i, part in enumerate(parts):
            if i % 2:
                parts[i] = self.fill(part, code=True)
            else:
                parts[i] = re.sub(r"[A-Za-z][A-Za-z'-]*", self.word, self.fill(part))
        said = "".join(parts)
        if not self.lower:
            said = re.sub(r"^[a-z](?=[a-z']*[ ,])", lambda first: first[0].upper(), said)
        if self.sloppy:
            said = re.sub(r"\.$", self.stop, said)
        return said


def to_html(prose):
    prose = html.escape(prose, quote=False)
    prose = re.sub(r"`([^`]*)`", r"<code>\1</code>", prose)
    prose = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", prose)
    return re.sub(r"\[([^]]+)\]\(([^)]+)\)", r'<a href="\2">\1</a>', prose)


def paragraph(sentences):
    return f"<p>{to_html(' '.join(sentences))}</p>\n" if sentences else ""


def code_block(code):
    return f"<pre><code>{html.escape(code, quote=False)}\n</code></pre>\n"


class Writer:
    def __init__(self, rng):
        self.rng = rng
        self.needs, self.shared = read_phrases(HERE / "phrases.txt")

    def chance(self, share):
        return self.rng.random() < share

    def theme(self, mix):
        words = mix.split()
        return self.rng.choices(words[::2], [int(weight) for weight in words[1::2]])[0]

    def line(self, kind, theme, glue=0.45):
        """Draw a line of the theme or, as often as glue says, one that fits anywhere."""
        general, own = self.shared["glue"][kind], self.shared[theme][kind]
        return self.rng.choice(general if not own or general and self.chance(glue) else own)

    def question(self, tags, mix):
        """Return the title, body and tags of a new question."""
        asker, theme = Asker(self.rng, tags), self.theme(mix)
        need = self.rng.choice(self.needs[theme])
        at = self.rng.randrange(len(need["title"]))
        title = self.title(asker, need["title"][at])
        # A general need shows its technology only by what the asker says or pastes.
        home = self.theme(mix) if theme == "any" and self.chance(0.75) else theme

        def maybe(share, kind):
            return [asker.say(self.line(kind, home))] if self.chance(share) else []

        lead = maybe(0.48, "setting") + maybe(0.6 if set(tags) & set(RARE) else 0.35, "own")
        main = self.tell(asker, need, at) + maybe(0.14, "foreign")
        proof = self.code(asker, need, home) if self.chance(0.3) and home != "any" else ""
        if self.chance(0.04):
            proof += self.tries(asker, home)
        else:
            main += maybe(0.45, "tried")
        tail = self.failure(asker, home) if self.chance(0.1) and home != "any" else []
        tail += maybe(0.5, "close")
        body = self.layout(lead, main, proof, tail)

        extra = self.rng.choice(SIDE_TAGS[theme].split())
        if (self.chance(0.12) or not tags) and extra not in tags:
            tags = tags + [extra]
        return title, body, tags

    def title(self, asker, line):
        draw = self.rng.random()
        if draw < 0.06:
            line = "{own}: " + line
        elif draw < 0.16:
            line = line.rstrip("?") + " in {own}"
        elif draw < 0.19:
            line = line + " ({own})"
        elif draw < 0.23:
            line = line.rstrip("?") + self.rng.choice([" - help", "?", "???", " (beginner)", " :("])
        elif draw < 0.27:
            line = self.rng.choice(["Problem: ", "Question about: ", "Help: ", "Help with "]) + line
        return asker.say(line)

    def tell(self, asker, need, at):
        """Say what title number `at` is about, in one of its wordings, and perhaps more."""
        told = self.rng.choice(need["tell"][at :: len(need["title"])])
        more = self.rng.choice([tell for tell in need["tell"] if tell != told])
        first = f"**{told}**" if self.chance(0.03) else told
        return [asker.say(first)] + ([asker.say(more)] if self.chance(0.33) else [])

    def code(self, asker, need, theme):
        own = need["code"] if self.chance(0.7) else []
        code = self.rng.choice(own or self.shared[theme]["code"])
        shows = [asker.say(self.line("shows", theme))] if self.chance(0.4) else []
        return paragraph(shows) + code_block(asker.fill(code, code=True))

    def tries(self, asker, theme):
        tries = [asker.say(self.line("tried", theme, glue)) for glue in (0, 1)]
        items = "".join(f"<li>{to_html(item)}</li>\n" for item in tries)
        return paragraph([asker.say("What I tried:")]) + f"<ul>\n{items}</ul>\n"

    def failure(self, asker, theme):
        error = asker.fill(self.line("error", theme, glue=0), code=True).replace("`", "'")
        return [asker.say(self.line("fails", theme)).replace("{error}", error)]

    def layout(self, lead, main, proof, tail):
        """Set the sentences into paragraphs, around code and lists if there are any."""
        draw = self.rng.random()
        if draw < 0.25:
            return paragraph(lead) + paragraph(main) + proof + paragraph(tail)
        if draw < 0.5 and not proof:
            return paragraph(lead + main + tail)
        return paragraph(lead + main) + proof + paragraph(tail)

    def again(self, question):
        """Ask a question again: the same words, perhaps other tags."""
        title, body, tags = question
        change = self.rng.choice(["same", "case", "space"])
        if change == "case":
            title = title.upper() if self.chance(0.5) else title.lower()
        elif change == "space":
            body = body.replace("</p>\n", "</p>\n\n").replace(". ", ".  ")
        if self.chance(0.4):
            others = [key for key in PAIRS if set(key.split()) & set(tags) and key.split() != tags]
            tags = self.rng.choices(others, [PAIRS[key][0] for key in others])[0].split()
        return title, body, tags

    def answer(self, theme):
        asker = Asker(self.rng, [])
        body = [asker.say(self.line("answer", theme, glue=0))]
        if self.chance(0.5):
            body.insert(0, self.rng.choice(ANSWER_OPENINGS))
        if theme == "any" or self.chance(0.7):
            return paragraph(body)
        code = self.rng.choice(self.shared[theme]["code"])
        return paragraph(body) + code_block(asker.fill(code, code=True))


def row(**attributes):
    def quoted(value):
        return html.escape(str(value)).replace("&#x27;", "'").replace("\n", "&#xA;")

    pairs = " ".join(f'{key}="{quoted(value)}"' for key, value in attributes.items())
    return f"  <row {pairs} />"


def write_posts(rng):
    """Yield the rows of the file, in order of time."""
    writer = Writer(rng)
    plan = []
    for key, (count, mix) in [*PAIRS.items(), *SINGLES.items()]:
        plan += [(key.split(), mix)] * count
    rng.shuffle(plan)
    for what in ["again"] * REPEATS + ["answer"] * ANSWERS:
        plan.insert(rng.randint(1, len(plan)), (what, None))  # never first

    number, now = 4, datetime(2009, 2, 1, 8)
    asked = []  # (id, question, theme mix)
    for what, mix in plan:
        number += rng.randint(1, 9)
        now += timedelta(milliseconds=rng.randrange(36_000_000))
        stamp = now.isoformat(timespec="milliseconds")
        score = int(rng.expovariate(0.45)) - 1
        if what == "answer":
            parent, _, mix = rng.choice(asked[-60:])
            body = writer.answer(writer.theme(mix))
            yield row(Id=number, PostTypeId=2, ParentId=parent, CreationDate=stamp, Score=score,
                      Body=body)
            continue
        if what == "again":
            _, question, mix = rng.choice([post for post in asked if len(post[1][2]) > 1])
            question = writer.again(question)
        else:
            question = writer.question(what, mix)
        asked.append((number, question, mix))
        title, body, tags = question
        yield row(Id=number, PostTypeId=1, CreationDate=stamp, Score=score, Body=body,
                  Title=title, Tags="".join(f"<{tag}>" for tag in tags))


def main():
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "Posts.xml"
    rows = write_posts(random.Random(SEED))
    lines = ['<?xml version="1.0" encoding="utf-8"?>', "<posts>", *rows, "</posts>", ""]
    target.write_bytes("\n".join(lines).encode("utf-8"))


if __name__ == "__main__":
    main()
