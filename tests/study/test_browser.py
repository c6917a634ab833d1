"""`dvc plots diff` of two commits, drawn by a real browser: every plot with both revisions, every image, no error.

The browser reaches no network: Vega lies beside the page, installed by the command in docs/troubleshooting.md.
"""

import csv
import re
import shutil
import sys
from io import StringIO
from pathlib import Path

import lxml.html
import pytest
import yaml
from conftest import QUICK, ROOT, call, write_params

from tagstudy.evaluation.style import COLOURS

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
REVISIONS = ("HEAD~1", "workspace")
PLOTS = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["plots"]
NAMES = [name for plot in PLOTS if isinstance(plot, dict) for name in plot]

COLLECT_ERRORS = """<script>
const fail = (...parts) => document.documentElement.append(
    Object.assign(document.createElement("error"), {textContent: parts.join(" ")}));
console.error = fail;
addEventListener("error", event => fail(event.message ?? event.target.src), true);
</script>"""
DRAW_SVG = """<script>
const embed = window.vegaEmbed;
if (embed) vegaEmbed = (place, spec) => embed(place, spec, {renderer: "svg"}).catch(fail);
</script>"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM, reason="needs Chromium"),
    pytest.mark.skipif(not shutil.which("npm"), reason="needs npm"),
]


@pytest.fixture(scope="module")
def study(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of the study in two commits; the second one is longer and has a tag less."""
    folder = tmp_path_factory.mktemp("browser") / "study"
    shutil.copytree(clone, folder)
    for epochs, tags in ((1, 10), (2, 9)):
        ingest, train = QUICK["ingest"] | {"tags": tags}, QUICK["train"] | {"epochs": epochs}
        write_params(folder, **QUICK | {"ingest": ingest, "train": train})
        done = call(sys.executable, "-m", "dvc", "repro", cwd=folder)
        assert done.returncode == 0, done.stdout + done.stderr
        call("git", "commit", "--quiet", "--all", "--message", f"{epochs} epochs, {tags} tags", cwd=folder)
    return folder


def open_page(study: Path, profile: Path) -> lxml.html.HtmlElement:
    """What a browser without a network makes of the page, as if its plots were SVG and its errors elements."""
    page = study / "dvc_plots/index.html"
    html = page.read_text(encoding="utf-8")
    html = html.replace("<head>", f"<head>{COLLECT_ERRORS}").replace("</head>", f"{DRAW_SVG}</head>")
    (page.parent / "seen.html").write_text(html, encoding="utf-8")
    flags = "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    flags += " --disable-component-update --disable-sync --virtual-time-budget=60000 --dump-dom"
    offline = "--host-resolver-rules=MAP * ~NOTFOUND"
    address = (page.parent / "seen.html").as_uri()
    done = call(CHROMIUM, *flags.split(), offline, f"--user-data-dir={profile}", address, cwd=study)
    return lxml.html.fromstring(done.stdout)


@pytest.fixture(scope="module")
def without_vega(study: Path, tmp_path_factory: pytest.TempPathFactory) -> lxml.html.HtmlElement:
    """The page of the last commit alone, before Vega is installed."""
    done = call(sys.executable, "-m", "dvc", "plots", "show", cwd=study)
    assert done.returncode == 0, done.stderr
    return open_page(study, tmp_path_factory.mktemp("profile"))


@pytest.fixture(scope="module")
def page(without_vega: None, study: Path, tmp_path_factory: pytest.TempPathFactory) -> lxml.html.HtmlElement:
    """The page of both commits."""
    done = call(sys.executable, "-m", "dvc", "plots", "diff", "HEAD~1", cwd=study)
    assert done.returncode == 0, done.stderr
    docs = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
    [install] = re.findall(r"^npm install .*$", docs, re.MULTILINE)
    if call(*install.split(), cwd=study).returncode:
        pytest.skip("npm cannot get Vega")
    return open_page(study, tmp_path_factory.mktemp("profile"))


def texts(element: lxml.html.HtmlElement) -> list[str]:
    return [text.text for text in element.iter("text") if text.text]


def test_the_browser_reports_no_error(page: lxml.html.HtmlElement) -> None:
    assert [error.text for error in page.iter("error")] == []


@pytest.mark.parametrize("name", NAMES)
def test_plot_draws_both_revisions(page: lxml.html.HtmlElement, name: str) -> None:
    [drawing] = page.xpath(f"//div[@id='{name}']//svg[contains(@class, 'marks')]")
    shapes = drawing.xpath(".//g[contains(@class, 'role-mark')]//path/@d")
    assert len(set(shapes)) > 2
    assert not any("NaN" in shape for shape in shapes)
    assert set(REVISIONS) <= set(texts(drawing))


@pytest.mark.parametrize(
    ("name", "legend"),
    [
        ("loss", ["dense", "sparse", "valid", "train"]),
        ("hamming_loss", ["dense", "sparse", "valid"]),
        ("validation_micro_f1", ["dense", "sparse", "valid"]),
        ("f1_by_tag", ["dense", "sparse"]),
        ("reliability", ["dense", "sparse", "fusion", "test"]),
        ("precision_recall", ["dense", "sparse", "fusion", "test"]),
    ],
)
def test_colours_are_the_arms_as_in_the_images(page: lxml.html.HtmlElement, name: str, legend: list[str]) -> None:
    [drawing] = page.xpath(f"//div[@id='{name}']//svg[contains(@class, 'marks')]")
    assert drawing.xpath(".//g[contains(@class, 'role-legend-label')]//text/text()") == legend
    symbols = drawing.xpath(".//g[contains(@class, 'role-legend-symbol')]//path")
    for symbol, label in zip(symbols, legend, strict=True):
        assert symbol.get("stroke", symbol.get("fill")) == COLOURS.get(label, "black")
    dashed = [label for symbol, label in zip(symbols, legend, strict=True) if symbol.get("stroke-dasharray") == "4,3"]
    assert dashed == [label for label in legend if label == "train"]


@pytest.mark.parametrize("name", ["loss", "hamming_loss", "validation_micro_f1"])
def test_epochs_are_whole(page: lxml.html.HtmlElement, name: str) -> None:
    [drawing] = page.xpath(f"//div[@id='{name}']//svg[contains(@class, 'marks')]")
    axes = drawing.xpath(".//g[starts-with(@aria-label, 'X-axis')]")
    assert len(axes) == len(REVISIONS)
    for axis in axes:
        *epochs, label = texts(axis)
        assert epochs == [str(epoch) for epoch in range(len(epochs))]
        assert label == "epoch (0 is the untrained network)"


@pytest.mark.parametrize("arm", ["dense", "sparse"])
def test_confusion_counts_stand_under_their_tag_and_revision(
    study: Path, page: lxml.html.HtmlElement, arm: str
) -> None:
    posts: dict[tuple[str, str], list[str]] = {}
    for revision, commit in zip(REVISIONS, ("HEAD~1", "HEAD"), strict=True):
        table = call("git", "show", f"{commit}:plots/confusion_{arm}.csv", cwd=study).stdout
        for row in csv.DictReader(StringIO(table)):
            posts.setdefault((row["tag"], revision), []).append(f"{float(row['posts']):,.0f}")
    [drawing] = page.xpath(f"//div[@id='confusion_{arm}']//svg[contains(@class, 'marks')]")
    tags, revisions = (
        drawing.xpath(f".//g[contains(@class, '{header}')]//g[contains(@class, 'role-title-text')]/text/text()")
        for header in ("row_header", "column_header")
    )
    [cells] = drawing.xpath(".//g[contains(@class, 'role-scope cell')]")
    drawn = iter(cells)
    assert {(tag, revision): texts(next(drawn)) for tag in tags for revision in revisions} == {
        (tag, revision): posts.get((tag, revision), []) for tag, _ in posts for revision in REVISIONS
    }


def test_images_are_shown_for_both_revisions(study: Path, page: lxml.html.HtmlElement) -> None:
    images = {path.name for path in (study / "plots/images").iterdir()}
    shown = [Path(image.get("src")).name for image in page.iter("img")]
    assert sorted(shown) == sorted(f"{revision}_plots_images_{image}" for revision in REVISIONS for image in images)


def test_without_vega_the_page_says_what_to_do_and_shows_the_images(without_vega: lxml.html.HtmlElement) -> None:
    [missing] = without_vega.xpath("//p[@id='missing']")
    assert "docs/troubleshooting.md" in missing.text
    assert len(list(without_vega.iter("img"))) == 14
