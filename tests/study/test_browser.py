"""`dvc plots diff` of two commits, drawn by a real browser: every plot with both revisions, every image, no error.

The page takes Vega from a content delivery network; the test takes the same versions of it from npm.
"""

import csv
import json
import re
import shutil
import sys
from io import StringIO
from pathlib import Path

import lxml.html
import pytest
import yaml
from conftest import QUICK, ROOT, call, write_params

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
const embed = vegaEmbed;
vegaEmbed = (place, spec) => embed(place, spec, {renderer: "svg"}).catch(fail);
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


@pytest.fixture(scope="module")
def page(study: Path, tmp_path_factory: pytest.TempPathFactory) -> lxml.html.HtmlElement:
    """What the browser makes of the page."""
    done = call(sys.executable, "-m", "dvc", "plots", "diff", "HEAD~1", cwd=study)
    assert done.returncode == 0, done.stderr
    modules = tmp_path_factory.mktemp("npm")

    def local(address: re.Match) -> str:
        name, version = address.groups()
        if call("npm", "pack", f"{name}@{version}", cwd=modules).returncode:
            pytest.skip(f"npm cannot get {name} {version}")
        shutil.unpack_archive(modules / f"{name}-{version}.tgz", modules / name, filter="data")
        package = modules / name / "package"
        return (package / json.loads((package / "package.json").read_text(encoding="utf-8"))["jsdelivr"]).as_uri()

    html = (study / "dvc_plots/index.html").read_text(encoding="utf-8")
    html, scripts = re.subn(r"https://[^\"]*/npm/([\w-]+)@([\d.]+)", local, html)
    assert scripts == 3
    html = html.replace("<head>", f"<head>{COLLECT_ERRORS}").replace("</head>", f"{DRAW_SVG}</head>")
    (study / "dvc_plots/local.html").write_text(html, encoding="utf-8")
    flags = "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    flags += " --disable-component-update --disable-sync --virtual-time-budget=60000 --dump-dom"
    profile = f"--user-data-dir={tmp_path_factory.mktemp('profile')}"
    done = call(CHROMIUM, *flags.split(), profile, (study / "dvc_plots/local.html").as_uri(), cwd=study)
    return lxml.html.fromstring(done.stdout)


def texts(element: lxml.html.HtmlElement) -> list[str]:
    return [text.text for text in element.iter("text")]


def test_the_browser_reports_no_error(page: lxml.html.HtmlElement) -> None:
    assert [error.text for error in page.iter("error")] == []


@pytest.mark.parametrize("name", NAMES)
def test_plot_draws_both_revisions(page: lxml.html.HtmlElement, name: str) -> None:
    [drawing] = page.xpath(f"//div[@id='{name}']//svg[contains(@class, 'marks')]")
    shapes = drawing.xpath(".//g[contains(@class, 'role-mark')]//path/@d")
    assert len(set(shapes)) > 2
    assert not any("NaN" in shape for shape in shapes)
    assert set(REVISIONS) <= set(texts(drawing))


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
