"""README.md and docs/: their commands work as they stand there, block by block; links lead somewhere."""

import re
import shlex
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import joblib
import pandas as pd
import py7zr
import pytest
from conftest import ROOT, call

PAGES = {page: page.read_text(encoding="utf-8") for page in (ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")))}
# What stands in their blocks and is not typed here, and why.
NOT_TYPED = {
    "make": "installs; then it calls dvc repro, as the study below does",
    "make test": "these are the tests that it runs",
    "make tune": "installs; test_tune.py runs the search",
    "python src/tune.py --trials 100 --folds 5": "trains a thousand networks; test_tune.py runs a small search",
    "make sweep": "installs, and fine-tunes an encoder: many minutes",
    "pip install -r requirements-pretrained.txt": "installs",
    "pip install -r requirements-serve.txt": "installs",
    "npm install --prefix dvc_plots vega@5.33.1 vega-lite@5.23.0 vega-embed@6.29.0": "installs, for test_browser.py",
    "python src/predict.py --serve": "answers until it is stopped; test_serving.py asks it",
    "dvc queue start -j 1": "works in the background, a minute and more; that the queue is filled is seen here",
}
DUMPS = "https://archive.org/download/stackexchange"
# What only `make test-slow` types: each takes as long as the rest of its block, and other files test what it runs.
TYPED_SLOWLY = {
    "dvc exp run -S ingest.source=posts.csv -S ingest.tags=50 -S ingest.min_tags=1"
    " -S featurize_dense.embedding=encoder": "test_embeddings.py",
    "dvc exp run -S featurize_dense.embedding=word2vec -S train_dense.freeze=true": "test_embeddings.py",
    "dvc exp run -S +train_sparse.epochs=0": "test_pipeline.py",
    "python src/predict.py --export onnx": "test_onnx_export.py",
    "python src/ship.py": "test_ship.py",
    "python src/predict.py --model shipped 'How do I fade out a div when a button is clicked?'": "test_ship.py",
    "dvc exp run -n narrow -S featurize_dense.embedding_dim=50": "test_compare.py",
    "python src/compare.py": "test_compare.py",
    "python src/compare.py narrow HEAD --metric macro_f1 --md": "test_compare.py",
    "dvc exp run -S ingest.source=data/crypto.7z -S ingest.tags=50 -S ingest.min_tags=1": "test_posts.py",
    "dvc exp run -S ingest.source=posts.parquet -S ingest.tags=50 -S ingest.min_tags=1": "test_posts.py",
}


def blocks() -> list[tuple[str, str]]:
    """The pages' blocks of commands, each with the heading that it stands under."""
    found, heading = [], ""
    for page in PAGES.values():
        for title, block in re.findall(r"^#+ ([^\n]+)$|^```bash\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
            heading = title or heading
            if block:
                found.append((heading, block.replace("\\\n", " ")))
    return found


def anchor(heading: str) -> str:
    """What GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", [pytest.param(page, id=page.name) for page in PAGES])
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#:]*(?:#[^)]*)?)\)", PAGES[page]):
        path, _, heading = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if heading:
            assert heading in map(anchor, re.findall(r"^#+ (.+)$", PAGES[target], re.MULTILINE)), link


def command(line: str) -> str:
    """A line without its comment."""
    return shlex.join(shlex.split(line, comments=True))


def test_what_is_not_typed_stands_on_a_page() -> None:
    lines = {command(line) for _, block in blocks() for line in block.splitlines()}
    assert lines >= NOT_TYPED.keys() | TYPED_SLOWLY.keys()


@pytest.fixture(scope="module")
def study(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study, with posts of the user's own beside it."""
    folder = tmp_path_factory.mktemp("readme") / "study"
    shutil.copytree(finished, folder)
    pairs = [(n % 50, n // 50) for n in range(600)]
    posts = pd.DataFrame({
        "title": [f"How do I use t{a} with t{b}?" for a, b in pairs], "tags": [f"<t{a}><t{b}>" for a, b in pairs]
    })  # fmt: skip
    posts.to_csv(folder / "posts.csv", index=False)
    joblib.dump(posts, folder / "posts.joblib")
    return folder


class Archive(SimpleHTTPRequestHandler):
    """Files with an ETag, which tells DVC whether one has changed."""

    def end_headers(self) -> None:
        self.send_header("ETag", '"1"')
        super().end_headers()


@pytest.fixture(scope="module")
def site(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a folder with a data dump of the same posts."""
    folder = tmp_path_factory.mktemp("site")
    posts = pd.read_csv(study / "posts.csv").rename(columns=str.title).assign(PostTypeId=1)
    posts["Id"] = posts.index
    posts.to_xml(folder / "Posts.xml", index=False, attr_cols=list(posts), root_name="posts")
    with py7zr.SevenZipFile(folder / "crypto.stackexchange.com.7z", "w") as archive:
        archive.write(folder / "Posts.xml", "Posts.xml")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Archive, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    "left_out",
    [
        pytest.param(NOT_TYPED | TYPED_SLOWLY, id="quick"),
        pytest.param(NOT_TYPED, id="whole", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("block", [pytest.param(block, id=heading) for heading, block in blocks()])
def test_a_block_of_commands_works(
    study: Path, site: str, tmp_path: Path, block: str, left_out: dict[str, str]
) -> None:
    typed = [line for line in block.splitlines() if command(line) not in left_out]
    if not any(map(command, typed)):
        pytest.skip("none of its commands is typed here")
    folder = tmp_path / "study"
    shutil.copytree(study, folder)
    done = call("bash", "-x", "-e", "-o", "pipefail", "-c", "\n".join(typed).replace(DUMPS, site), cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
