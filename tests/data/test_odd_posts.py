"""Posts that are odd, and not wrong, go through all six stages: tags of any spelling, no words, a million words."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import write_params
from PIL import Image

import evaluate
import featurize_dense
import featurize_tfidf
import ingest
import train_dense
import train_sparse
from tagstudy.core.corpus import Corpus
from tagstudy.core.printing import visible

STAGES = (ingest, featurize_dense, featurize_tfidf, train_dense, train_sparse, evaluate)
pytestmark = pytest.mark.filterwarnings("error")
ODD = [
    "two words",
    "it's",
    'a "quote"',
    "back\\slash",
    "a,b",
    "$x^{$",
    "\\frac",
    "=1+1",
    "-x",
    "../../etc/passwd",
    "</script><script>alert(1)</script>",
    "日本語",
    "👩‍💻",
    "שלום",
    "NUL\u0001",
    "%s{0}",
    "x" * 200,
]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def study(rows: list[dict], **changes: object) -> pd.DataFrame:
    """Run the stages on these posts; give the scores over all folds."""
    folder = Path.cwd()
    (folder / "posts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    write_params(
        folder,
        ingest={"source": "posts.jsonl", "min_tags": 1, "tags": 100, "folds": 3} | changes,
        featurize_dense={"embedding_dim": 4},
        train={"epochs": 1, "runs": 1, "hidden": [4], "min_steps": 20},
        evaluate={"resamples": 100},
    )
    for stage in STAGES:
        stage.main()
    metrics = (folder / "metrics/metrics.json").read_text()
    json.loads(metrics, parse_constant=pytest.fail)  # NaN and Infinity are no JSON
    runs = pd.read_csv(folder / "metrics/runs.csv").query("run == 'all'").set_index("arm")
    assert runs.notna().all(axis=None)
    for path in (folder / "plots/images").iterdir():
        with Image.open(path) as image:
            assert max(image.size) < 4000, path.name
    return runs


def posts(tags: list[list[str]], count: int = 60) -> list[dict]:
    rng = np.random.default_rng(0)
    return [
        {
            "id": number,
            "title": " ".join(rng.choice(list("abcdefgh"), 5)) + f" {number}",
            "tags": tags[number % len(tags)],
        }
        for number in range(count)
    ]


def test_tags_of_any_spelling(tmp_path: Path) -> None:
    study(posts([[tag, ODD[0]] for tag in ODD], count=20 * len(ODD)))
    assert set(json.loads((tmp_path / "data/posts/tags.json").read_text(encoding="utf-8"))) == set(map(visible, ODD))
    options = pd.concat([pd.read_csv(path, dtype=str) for path in (tmp_path / "plots").glob("*.csv")])
    cells = options.stack().astype(str)
    words = cells[pd.to_numeric(cells, errors="coerce").isna()]
    assert not words.str.contains(r"^[=+\-@\t\r]|<", regex=True).any()
    assert words.str.contains("1+1", regex=False).any() and words.str.contains("script", regex=False).any()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "data",
        "metrics",
        "params.yaml",
        "plots",
        "posts.jsonl",
    ]


def test_a_single_tag_on_every_post() -> None:
    assert (study(posts([["a"]]))["micro_f1"] > 0.95).all()


def test_every_post_has_every_tag() -> None:
    assert (study(posts([["a", "b", "c"]]))["macro_f1"] > 0.95).all()


def test_a_tag_that_one_split_alone_holds(tmp_path: Path) -> None:
    """What test has none of has an F1 of 0, as in scikit-learn with zero_division=0."""
    rows = [row | {"split": ("train", "valid", "test")[n % 3]} for n, row in enumerate(posts([["a"], ["b"]]))]
    rows[0]["tags"] = rows[3]["tags"] = ["a", "rare"]  # of train
    study(rows, split="given")
    table = pd.read_csv(tmp_path / "plots/tags_dense.csv").set_index("tag")
    assert table.loc["rare", ["support", "f1"]].tolist() == [0, 0]


def test_no_words_a_million_words_and_ids_repeated(tmp_path: Path) -> None:
    rows = posts([["a"], ["b"]])
    rows[0]["title"] = "word " * 1_000_000
    for number, title in enumerate(["…", "!!!", "—", "<p></p>", "&nbsp;."], start=1):
        rows[number]["title"] = title
    study([row | {"id": "same"} for row in rows])
    assert len(Corpus(tmp_path / "data/posts")) >= 58


def test_ids_and_tags_hold_nothing_that_cannot_be_seen(tmp_path: Path) -> None:
    rows = [row | {"id": f"x\r=1+1\u200b{n}"} for n, row in enumerate(posts([["a\r=1", "\ufeff"], ["\x1b[31mb"]]))]
    study(rows)
    assert set(json.loads((tmp_path / "data/posts/tags.json").read_text(encoding="utf-8"))) == {"a =1", "�[31mb"}
    [ids] = [columns[0] for _, columns in Corpus(tmp_path / "data/posts").read(["id"])]
    assert ids == [f"x =1+1{n}" for n in range(len(rows))]
