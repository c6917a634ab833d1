"""Features of all posts: TF-IDF as scikit-learn's, mean word vectors, and nothing of valid or test in a vocabulary."""

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import ENVIRONMENT, PARAMS, ROOT, call, save_csr, write_params
from scipy.sparse import csr_array
from sklearn.feature_extraction.text import TfidfVectorizer

from tagstudy.core import corpus as corpus_module
from tagstudy.core import store
from tagstudy.core.config import FeaturizeDense, FeaturizeTfidf
from tagstudy.core.corpus import Corpus, Text
from tagstudy.core.files import read_json, write_json
from tagstudy.core.paths import SPLITS
from tagstudy.core.store import CsrMatrix
from tagstudy.data.text import token_sequences
from tagstudy.features.dense import write_dense
from tagstudy.features.tfidf import write_tfidf
from tagstudy.features.vectorizer import open_vectorizer

POSTS = [  # in reading order: those of train, valid and test take turns
    ("train", Text("the cat sat on the mat", "")),
    ("valid", Text("validword cat cat", "dog")),
    ("train", Text("c# and c++ and .net", "")),
    ("test", Text("testword mat testword", "")),
    ("train", Text("", "a cat and a dog\nand a dog")),
    ("train", Text("asp.net is not .net", "is a cat a dog?")),
    ("test", Text("?", "...")),  # no words
    ("valid", Text("dog", "the dog")),
]
TRAIN = [text for split, text in POSTS if split == "train"]
ROWS = {split: [row for row, (other, _) in enumerate(POSTS) if other == split] for split in SPLITS}


def write_corpus(folder: Path, posts: list[tuple[str, Text]]) -> Corpus:
    folder.mkdir(parents=True, exist_ok=True)
    columns = {"id": list(map(str, range(len(posts))))}
    columns |= {part: [getattr(text, part) for _, text in posts] for part in Text._fields}
    pq.write_table(pa.table(columns), folder / "posts.parquet")
    np.save(folder / "split.npy", np.array([SPLITS.index(split) for split, _ in posts], dtype=np.int8))
    if not (folder / "labels").exists():
        save_csr(folder / "labels", csr_array(np.ones((len(posts), 1), dtype=np.uint8)), np.uint8)
    write_json(folder / "tags.json", ["a"])
    return Corpus(folder)


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return write_corpus(tmp_path / "data/posts", POSTS)


def tfidf(folder: Path, corpus: Corpus, **changes: object) -> None:
    folder.mkdir()
    write_tfidf(folder, corpus, FeaturizeTfidf.model_validate(PARAMS["featurize_tfidf"] | changes))


def words(folder: Path, corpus: Corpus, **changes: object) -> None:
    folder.mkdir()
    settings = FeaturizeDense.model_validate(PARAMS["featurize_dense"] | changes)
    write_dense(folder, corpus, settings, "cpu", folder.parent / "cache.sqlite")


def read(folder: Path) -> tuple[list[str], np.ndarray]:
    """The vocabulary, and the features [posts, terms] of all posts."""
    vocabulary = read_json(folder / "vocabulary.json")
    matrix = CsrMatrix(folder / "matrix")
    assert (
        matrix.shape == (len(matrix), len(vocabulary)) == (len(matrix), read_json(folder / "features.json")["inputs"])
    )
    for row in range(len(matrix)):
        assert (np.diff(matrix.batch(np.array([row]))[0]) > 0).all()  # columns in order, none twice
    return vocabulary, matrix.take(np.arange(len(matrix))).toarray()


def ngrams(text: Text, max_ngram: int) -> list[str]:
    """What is counted of a post, said another way."""
    return [
        " ".join(tokens[start : start + length])
        for tokens in token_sequences(text)
        for length in range(1, max_ngram + 1)
        for start in range(len(tokens) - length + 1)
    ]


def test_words_are_averaged_over_a_post_if_train_has_them_often_enough(tmp_path: Path, corpus: Corpus) -> None:
    words(tmp_path / "words", corpus, min_count=3)
    vocabulary, rows = read(tmp_path / "words")
    assert vocabulary == [".net", "a", "and", "cat", "dog", "is"]
    # The title counts twice: .net and is are in it; is, a, a, cat and dog are in the body.
    np.testing.assert_allclose(rows[5] * 9, [2, 2, 0, 1, 1, 3], rtol=1e-6)
    np.testing.assert_allclose(rows[1], [0, 0, 0, 4 / 5, 1 / 5, 0], rtol=1e-6)
    np.testing.assert_array_equal(rows[6], [0] * 6)
    features = read_json(tmp_path / "words/features.json")
    assert features == {"inputs": 6, "csr": True, "embedding_dim": PARAMS["featurize_dense"]["embedding_dim"]}


@pytest.mark.parametrize("max_ngram", [1, 2, 3])
@pytest.mark.parametrize("min_df", [1, 2])
@pytest.mark.parametrize("sublinear_tf", [True, False])
def test_tfidf_is_scikit_learn_s_fitted_on_train_alone(
    tmp_path: Path, corpus: Corpus, max_ngram: int, min_df: int, sublinear_tf: bool
) -> None:
    tfidf(tmp_path / "tfidf", corpus, max_ngram=max_ngram, min_df=min_df, sublinear_tf=sublinear_tf)
    vocabulary, rows = read(tmp_path / "tfidf")
    reference = TfidfVectorizer(analyzer=lambda text: ngrams(text, max_ngram), min_df=min_df, sublinear_tf=sublinear_tf)
    reference.fit(TRAIN)
    assert vocabulary == reference.get_feature_names_out().tolist()
    np.testing.assert_allclose(np.load(tmp_path / "tfidf/idf.npy"), reference.idf_, rtol=1e-12)
    np.testing.assert_allclose(rows, reference.transform([text for _, text in POSTS]).toarray(), rtol=1e-5)


def test_an_ngram_does_not_reach_from_a_body_to_the_title_that_counts_again(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "posts", [("train", Text("sort list", "loop fails")), ("train", Text("x", ""))])
    tfidf(tmp_path / "tfidf", corpus, max_ngram=2, min_df=1)
    vocabulary, _ = read(tmp_path / "tfidf")
    assert {term for term in vocabulary if " " in term} == {"sort list", "list loop", "loop fails"}


@pytest.mark.parametrize("kept", [1, 2, 4, 99])
def test_max_features_keeps_the_most_frequent_terms_and_of_equals_the_first(
    tmp_path: Path, corpus: Corpus, kept: int
) -> None:
    tfidf(tmp_path / "tfidf", corpus, max_features=kept, min_df=1)
    frequency = Counter(chain.from_iterable(ngrams(text, 1) for text in TRAIN))
    expected = sorted(frequency, key=lambda term: (-frequency[term], term))[:kept]
    assert read(tmp_path / "tfidf")[0] == sorted(expected)


@pytest.mark.parametrize("write", [words, tfidf])
def test_the_size_of_blocks_changes_nothing(
    tmp_path: Path, corpus: Corpus, write: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    written = {}
    for size in (1, 3, 1000):
        for module in (store, corpus_module):
            monkeypatch.setattr(module, "BLOCK", size)
        folder = tmp_path / f"blocks-of-{size}"
        write(folder, corpus)
        written[size] = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.*")}
    assert written[1] == written[3] == written[1000]


@pytest.mark.parametrize(("write", "options"), [(words, {"min_count": 1}), (tfidf, {"min_df": 1})])
def test_nothing_of_valid_or_test_is_learned(
    tmp_path: Path, corpus: Corpus, write: Callable[..., None], options: dict[str, int]
) -> None:
    write(tmp_path / "before", corpus, **options)
    vocabulary, rows = read(tmp_path / "before")
    assert set(vocabulary) == {word for text in TRAIN for word in ngrams(text, 1)}
    # Other posts in valid and test must change nothing of train, nor how any text is read.
    other = [(split, text if split == "train" else Text("cat newword", "cat cat")) for split, text in POSTS]
    write(tmp_path / "after", write_corpus(tmp_path / "other", other), **options)
    vocabulary_after, rows_after = read(tmp_path / "after")
    assert vocabulary_after == vocabulary
    np.testing.assert_array_equal(rows_after[ROWS["train"]], rows[ROWS["train"]])
    for name in ("vectorizer.json", "features.json", *(["idf.npy"] if write is tfidf else [])):
        assert (tmp_path / "after" / name).read_bytes() == (tmp_path / "before" / name).read_bytes()


@pytest.mark.parametrize(
    ("write", "options"),
    [(words, {}), (tfidf, {"sublinear_tf": False}), (tfidf, {"max_ngram": 2, "max_features": 9})],
)
def test_a_vectorizer_makes_the_stored_rows_of_their_texts(
    tmp_path: Path, corpus: Corpus, write: Callable[..., None], options: dict[str, object]
) -> None:
    write(tmp_path / "features", corpus, **options)
    vectorize, matrix = open_vectorizer(tmp_path / "features"), CsrMatrix(tmp_path / "features/matrix")
    for split, rows in ROWS.items():
        texts = list(chain.from_iterable(corpus.texts(split)))
        for made, stored in zip(vectorize(texts), matrix.batch(np.array(rows)), strict=True):
            assert made.dtype == stored.dtype
            np.testing.assert_array_equal(made, stored)


def test_a_vectorizer_that_is_none_is_an_error(tmp_path: Path) -> None:
    write_json(tmp_path / "vectorizer.json", {"kind": "words and more"})
    with pytest.raises(ValueError, match=r"vectorizer\.json describes no vectorizer"):
        open_vectorizer(tmp_path)


@pytest.mark.parametrize(("arm", "changes"), [("dense", {"min_count": 99}), ("tfidf", {"min_df": 99})])
def test_an_empty_vocabulary_is_one_line_and_leaves_the_old_features(
    tmp_path: Path, corpus: Corpus, arm: str, changes: dict[str, int]
) -> None:
    def stage(**changes: object) -> subprocess.CompletedProcess:
        write_params(tmp_path, **{f"featurize_{arm}": changes})
        return call(sys.executable, ROOT / f"src/featurize_{arm}.py", cwd=tmp_path)

    done = stage()
    assert done.returncode == 0, done.stderr
    before = {path: path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file()}
    done = stage(**changes)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1 and next(iter(changes)) in done.stderr
    assert {path: path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("embedding", ["learned", "word2vec", "glove"])
def test_words_are_featurized_without_torch(tmp_path: Path, corpus: Corpus, embedding: str) -> None:
    """Which takes seconds to import."""
    (tmp_path / "vectors.txt").write_text("cat 1 2\ndog 3 4\n")
    write_params(tmp_path, featurize_dense={"embedding": embedding, "vectors": "vectors.txt", "embedding_dim": 2})
    script = "import sys, featurize_dense; featurize_dense.main(); sys.exit('torch' in sys.modules)"
    environment = ENVIRONMENT | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "data/features/dense/embedding.npy").exists() == (embedding != "learned")
