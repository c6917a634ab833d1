"""features.py and both featurizers: bags on disk, and nothing of valid or test in a vocabulary."""

import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import ROOT, call, write_params
from scipy.sparse import csr_array, random_array, vstack
from sklearn.feature_extraction.text import TfidfVectorizer

import featurize_dense
import featurize_tfidf
from tagstudy.core import store as features
from tagstudy.core.store import CsrMatrix, read_labels
from tagstudy.data.text import tokenize
from tagstudy.features.counts import DocumentTermCounts, write_csr

TEXTS = {
    "train": ["the cat sat on the mat", "c# and c++ and .net", "a cat and a dog", "asp.net is not .net"],
    "valid": ["validword cat cat", "dog"],
    "test": ["testword mat testword", ""],
}


@pytest.fixture
def posts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data/posts").mkdir(parents=True)
    for split, texts in TEXTS.items():
        tags = [["b"], ["a", "b"], [], ["a"]][: len(texts)]
        pq.write_table(
            pa.table({"text": texts, "tags": pa.array(tags, pa.list_(pa.string()))}), f"data/posts/{split}.parquet"
        )
    return tmp_path


def featurize(folder: Path, arm: str, **params: object) -> tuple[list[str], dict[str, np.ndarray]]:
    """Run the stage; its vocabulary, and its bags as dense matrices."""
    write_params(folder, **{f"featurize_{arm}": params})
    {"dense": featurize_dense, "tfidf": featurize_tfidf}[arm].main()
    vocabulary = json.loads(Path(f"data/features/{arm}/vocabulary.json").read_text(encoding="utf-8"))
    matrices = {}
    for split in TEXTS:
        bags = CsrMatrix(Path(f"data/features/{arm}/{split}"))
        matrices[split] = csr_array(
            (bags.data, bags.indices, bags.indptr), shape=(len(bags), len(vocabulary))
        ).toarray()
    return vocabulary, matrices


def test_batches_are_the_rows_in_the_order_asked_for(tmp_path: Path) -> None:
    rows = random_array((50, 20), density=0.2, format="csr", dtype=np.float32, rng=np.random.default_rng(0))
    write_csr(tmp_path / "bags", [rows[:20], rows[20:21], rows[21:21], rows[21:]])
    bags = CsrMatrix(tmp_path / "bags")
    assert len(bags) == 50
    chosen = np.array([7, 0, 49, 7])
    indices, offsets, weights = bags.batch(chosen)
    np.testing.assert_array_equal(
        csr_array((weights, indices, offsets), shape=(4, 20)).toarray(), rows.toarray()[chosen]
    )


def test_bags_are_memory_mapped(tmp_path: Path) -> None:
    write_csr(tmp_path / "bags", [csr_array(np.eye(3, dtype=np.float32))])
    assert isinstance(CsrMatrix(tmp_path / "bags").data, np.memmap)


def test_blocks_are_all_the_rows_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "BATCH", 7)
    rows = random_array((50, 20), density=0.2, format="csr", dtype=np.float32, rng=np.random.default_rng(0))
    write_csr(tmp_path / "bags", [rows])
    blocks = [csr_array(block, shape=(len(block[2]) - 1, 20)) for block in CsrMatrix(tmp_path / "bags").blocks()]
    assert [block.shape[0] for block in blocks] == [7] * 7 + [1]
    np.testing.assert_array_equal(vstack(blocks).toarray(), rows.toarray())


def test_labels_follow_the_order_of_the_tags(posts: Path) -> None:
    np.testing.assert_array_equal(read_labels("train", ["a", "b"]), [[0, 1], [1, 1], [0, 0], [1, 0]])
    np.testing.assert_array_equal(read_labels("train", ["b", "a"]), [[1, 0], [1, 1], [0, 0], [0, 1]])


def test_dense_bags_average_the_words_that_train_holds_often_enough(posts: Path) -> None:
    vocabulary, rows = featurize(posts, "dense", min_count=2)
    assert vocabulary == [".net", "a", "and", "cat", "the"]
    np.testing.assert_allclose(rows["train"][0], [0, 0, 0, 1 / 3, 2 / 3], rtol=1e-6)
    np.testing.assert_allclose(rows["train"].sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(rows["valid"], [[0, 0, 0, 1, 0], [0] * 5])


@pytest.mark.parametrize("max_ngram", [1, 2, 3])
@pytest.mark.parametrize("min_df", [1, 2])
@pytest.mark.parametrize("sublinear_tf", [True, False])
def test_tfidf_is_scikit_learn_s_fitted_on_train_alone(
    posts: Path, max_ngram: int, min_df: int, sublinear_tf: bool
) -> None:
    vocabulary, rows = featurize(posts, "tfidf", max_ngram=max_ngram, min_df=min_df, sublinear_tf=sublinear_tf)
    reference = TfidfVectorizer(
        tokenizer=tokenize,
        token_pattern=None,
        lowercase=False,
        ngram_range=(1, max_ngram),
        min_df=min_df,
        sublinear_tf=sublinear_tf,
    )
    reference.fit(TEXTS["train"])
    assert vocabulary == reference.get_feature_names_out().tolist()
    np.testing.assert_allclose(np.load("data/features/tfidf/idf.npy"), reference.idf_, rtol=1e-12)
    for split, texts in TEXTS.items():
        np.testing.assert_allclose(rows[split], reference.transform(texts).toarray(), rtol=1e-5)


def test_a_run_of_words_does_not_reach_from_a_body_to_the_title_that_counts_again(posts: Path) -> None:
    pq.write_table(pa.table({"text": ["sort list\nloop fails", "x"], "tags": [["a"]] * 2}), "data/posts/train.parquet")
    vocabulary, _ = featurize(posts, "tfidf", max_ngram=2, min_df=1)
    assert {term for term in vocabulary if " " in term} == {"sort list", "list loop", "loop fails"}


@pytest.mark.parametrize("kept", [1, 2, 4, 99])
def test_max_features_keeps_the_most_frequent_terms_and_of_equals_the_first(posts: Path, kept: int) -> None:
    vocabulary, _ = featurize(posts, "tfidf", max_features=kept, min_df=1)
    frequency = Counter(token for text in TEXTS["train"] for token in tokenize(text))
    expected = sorted(frequency, key=lambda term: (-frequency[term], term))[:kept]
    assert vocabulary == sorted(expected)


def test_the_size_of_the_batches_changes_nothing(posts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = {}
    for size in (1, 3, 1000):
        monkeypatch.setattr(features, "BATCH", size)
        counts = DocumentTermCounts(posts / f"counts-{size}", 2)
        (posts / f"bags-{size}").mkdir()
        counts.write(posts / f"bags-{size}", counts.alphabetical(np.arange(len(counts.terms))), weigh=lambda rows: rows)
        written = posts / f"bags-{size}"
        read[size] = {path.relative_to(written): path.read_bytes() for path in written.rglob("*.npy")}
    assert read[1] == read[3] == read[1000]


@pytest.mark.parametrize("arm", ["dense", "tfidf"])
def test_nothing_of_valid_or_test_is_learned(posts: Path, arm: str) -> None:
    options = {"min_count": 1} if arm == "dense" else {"min_df": 1}
    vocabulary, rows = featurize(posts, arm, **options)
    assert set(vocabulary) == {token for text in TEXTS["train"] for token in tokenize(text)}
    for split in ("valid", "test"):  # other posts there must not change anything of train
        pq.write_table(pa.table({"text": ["cat newword"] * 9, "tags": [["a"]] * 9}), f"data/posts/{split}.parquet")
    again, rows_again = featurize(posts, arm, **options)
    assert again == vocabulary
    np.testing.assert_array_equal(rows_again["train"], rows["train"])


@pytest.mark.parametrize(("arm", "params"), [("dense", {"min_count": 99}), ("tfidf", {"min_df": 99})])
def test_an_empty_vocabulary_is_one_line_and_leaves_the_old_features(posts: Path, arm: str, params: dict) -> None:
    featurize(posts, arm)
    before = {path: path.read_bytes() for path in (posts / "data").rglob("*") if path.is_file()}
    write_params(posts, **{f"featurize_{arm}": params})
    done = call(sys.executable, ROOT / f"src/featurize_{arm}.py", cwd=posts)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1 and next(iter(params)) in done.stderr
    assert {path: path.read_bytes() for path in (posts / "data").rglob("*") if path.is_file()} == before
