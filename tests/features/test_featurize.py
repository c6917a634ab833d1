"""Features of all posts: term weights as scikit-learn's, and nothing of valid or test in a vocabulary."""

import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from conftest import ENVIRONMENT, PARAMS, ROOT, run_stage, save_csr, write_params
from scipy.sparse import csr_array
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import TfidfVectorizer

import featurize_dense
import featurize_tfidf
from tagstudy.core import corpus as corpus_module
from tagstudy.core import store
from tagstudy.core.checksums import seal
from tagstudy.core.config import Compute, EncoderSettings, FeaturizeDense, FeaturizeTfidf, read_params
from tagstudy.core.corpus import Corpus, Text
from tagstudy.core.errors import UserError
from tagstudy.core.files import read_json, write_json
from tagstudy.core.paths import SPLITS, features_of_fold
from tagstudy.core.store import CsrMatrix, open_matrix
from tagstudy.data.counts import COUNTS, write_counts
from tagstudy.data.text import token_sequences
from tagstudy.encoders import encoder as encoder_module
from tagstudy.features.dense import write_dense
from tagstudy.features.pretrained import without_common_parts
from tagstudy.features.subwords import ngrams_of
from tagstudy.features.tfidf import write_tfidf
from tagstudy.features.vectorizer import open_vectorizer
from tagstudy.model.network import build, describe_network

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
    pq.write_table(pa.table(columns), folder / "posts.parquet", row_group_size=3)
    shutil.rmtree(folder / COUNTS, ignore_errors=True)
    write_counts(folder / COUNTS, folder / "posts.parquet", Compute(workers=1))
    np.save(folder / "splits.npy", np.array([[SPLITS.index(split) for split, _ in posts]], dtype=np.int8))
    if not (folder / "labels").exists():
        save_csr(folder / "labels", csr_array(np.ones((len(posts), 1), dtype=np.uint8)), np.uint8)
    write_json(folder / "tags.json", ["a"])
    seal(folder)
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


def read(folder: Path, fold: int = 0) -> tuple[list[str], np.ndarray]:
    """The vocabulary of a fold, and the features [posts, terms] of all posts."""
    folder = features_of_fold(folder, fold)
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


def test_words_that_train_has_often_enough_are_weighted_by_their_frequencies(tmp_path: Path, corpus: Corpus) -> None:
    words(tmp_path / "words", corpus, min_count=3, sublinear_tf=False)
    vocabulary, rows = read(tmp_path / "words")
    assert vocabulary == [".net", "a", "and", "cat", "dog", "is"]
    # The title counts twice: .net and is are in it; is, a, a, cat and dog are in the body.
    counts = np.array([2, 2, 0, 1, 1, 3])
    np.testing.assert_allclose(rows[5], counts / np.sqrt(19), rtol=1e-6)
    np.testing.assert_allclose(rows[1], np.array([0, 0, 0, 4, 1, 0]) / np.sqrt(17), rtol=1e-6)
    np.testing.assert_array_equal(rows[6], [0] * 6)
    words(tmp_path / "sublinear", corpus, min_count=3, sublinear_tf=True)
    weights = np.where(counts > 0, 1 + np.log(counts.clip(min=1)), 0)
    np.testing.assert_allclose(read(tmp_path / "sublinear")[1][5], weights / np.sqrt(np.sum(weights**2)), rtol=1e-6)
    features = read_json(tmp_path / "words/fold-0/features.json")
    assert features == {"inputs": 6, "csr": True, "embedding_dim": PARAMS["featurize_dense"]["embedding_dim"]}


def test_a_word_is_made_of_the_ngrams_that_three_words_share() -> None:
    words = ["cat", "cats", "catty", "dog", "a"]
    ngrams = ngrams_of(words).toarray()
    shared = {" ca", "cat", " cat"}  # "at " stands in one word, "cats" in one, " cats" in one
    assert ngrams.shape == (len(words), len(shared))
    np.testing.assert_allclose(ngrams[:3], 1 / 3, rtol=1e-6)
    assert not ngrams[3:].any()
    twice = ngrams_of(["nana", "ana", "banana"]).toarray()
    assert twice[2].sum() == pytest.approx(1) and twice[2].max() > 1.9 * twice[2].min()  # it holds "ana" twice
    assert ngrams_of(["日本", "本語", "中文"]).shape == (3, 0)


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
    np.testing.assert_allclose(np.load(tmp_path / "tfidf/fold-0/idf.npy"), reference.idf_, rtol=1e-12)
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
        monkeypatch.setattr(store, "ENTRIES", size)
        monkeypatch.setattr(corpus_module, "BLOCK", size)
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
        before, after = (tmp_path / when / "fold-0" / name for when in ("before", "after"))
        assert after.read_bytes() == before.read_bytes()


@pytest.mark.parametrize(
    ("write", "options"),
    [
        (words, {"sublinear_tf": False}),
        (words, {}),
        (tfidf, {"sublinear_tf": False}),
        (tfidf, {"max_ngram": 2, "max_features": 9}),
    ],
)
def test_a_vectorizer_makes_the_stored_rows_of_their_texts(
    tmp_path: Path, corpus: Corpus, write: Callable[..., None], options: dict[str, object]
) -> None:
    write(tmp_path / "features", corpus, **options)
    own = features_of_fold(tmp_path / "features", 0)
    vectorize, matrix = open_vectorizer(own), CsrMatrix(own / "matrix")
    for split, rows in ROWS.items():
        texts = list(chain.from_iterable(corpus.texts(corpus.is_in(split, 0))))
        for made, stored in zip(vectorize(texts), matrix.batch(np.array(rows)), strict=True):
            assert made.dtype == stored.dtype
            np.testing.assert_array_equal(made, stored)


@pytest.fixture
def folded(tmp_path: Path) -> Corpus:
    """The same posts in three folds, each of which trains on other ones."""
    corpus = write_corpus(tmp_path / "folded", POSTS)
    np.save(corpus.folder / "splits.npy", np.stack([(np.arange(len(POSTS)) + fold) % 3 for fold in range(3)]))
    seal(corpus.folder)
    return Corpus(corpus.folder)


@pytest.mark.parametrize("write", [words, tfidf])
def test_the_features_of_a_fold_are_those_of_its_split_alone(
    tmp_path: Path, folded: Corpus, write: Callable[..., None]
) -> None:
    """To the byte what the fold as a single split would give."""
    write(tmp_path / "folds", folded)
    assert sorted(path.name for path in (tmp_path / "folds").iterdir()) == ["fold-0", "fold-1", "fold-2"]
    written = []
    for fold in range(3):
        names = [SPLITS[number] for number in folded.splits[fold]]
        single = write_corpus(tmp_path / f"single-{fold}", list(zip(names, (text for _, text in POSTS), strict=True)))
        write(tmp_path / f"features-{fold}", single)
        found, expected = tmp_path / f"folds/fold-{fold}", tmp_path / f"features-{fold}/fold-0"
        written.append({path.relative_to(found): path.read_bytes() for path in found.rglob("*.*")})
        assert written[-1] == {path.relative_to(expected): path.read_bytes() for path in expected.rglob("*.*")}
    assert written[0] != written[1] != written[2]


def pretrained(folder: Path, corpus: Corpus, embedding: str) -> str:
    """Features with an embedding matrix of four dimensions; what is said of them."""
    (folder.parent / "vectors.txt").write_text("cat 1 2 3 4\nDog 4 3 2 1\nnot 1 1 0 1\n")
    folder.mkdir()
    own = {"embedding": embedding, "embedding_dim": 4, "min_count": 1, "word2vec_epochs": 2}
    own["vectors"] = str(folder.parent / "vectors.txt")
    settings = FeaturizeDense.model_validate(PARAMS["featurize_dense"] | own)
    summary, _ = write_dense(folder, corpus, settings, "cpu", folder.parent / "cache.sqlite")
    return summary


@pytest.mark.parametrize("embedding", ["word2vec", "glove", "static"])
def test_each_fold_has_an_embedding_matrix_for_its_own_vocabulary(
    tmp_path: Path, folded: Corpus, embedding: str
) -> None:
    """The same as for a study of that fold alone: what is read or encoded once serves all of them."""
    summary = pretrained(tmp_path / "folds", folded, embedding)
    sizes = []
    for fold in range(3):
        own = tmp_path / f"folds/fold-{fold}"
        matrix, vocabulary = np.load(own / "embedding.npy"), read_json(own / "vocabulary.json")
        train = [text for (_, text), split in zip(POSTS, folded.splits[fold], strict=True) if SPLITS[split] == "train"]
        assert vocabulary == sorted({word for text in train for word in ngrams(text, 1)})
        assert matrix.shape == (len(vocabulary), 4) and matrix.dtype == np.float32
        assert read_json(own / "features.json")["embedding_dim"] == 4
        alone = write_corpus(tmp_path / f"alone-{fold}", POSTS)
        np.save(alone.folder / "splits.npy", folded.splits[[fold]])
        seal(alone.folder)
        pretrained(tmp_path / f"features-{fold}", Corpus(alone.folder), embedding)
        np.testing.assert_array_equal(matrix, np.load(tmp_path / f"features-{fold}/fold-0/embedding.npy"))
        sizes.append(len(vocabulary))
    assert summary.startswith(f"{min(sizes)} to {max(sizes)} words; vectors for ")


def test_word_vectors_lose_their_mean_and_their_leading_principal_components() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(3, rng.uniform(1, 9, size=200), size=(500, 200)).astype(np.float32)
    vectors[7] = 0  # a word without one
    rest = without_common_parts(vectors)
    known = np.delete(vectors, 7, axis=0)
    leading = PCA(2).fit(known)
    expected = known - leading.inverse_transform(leading.transform(known))
    np.testing.assert_allclose(np.delete(rest, 7, axis=0), expected, atol=1e-3)
    assert not rest[7].any()
    few = np.delete(vectors[:200], 7, axis=0)  # too few words for components
    np.testing.assert_allclose(without_common_parts(few), few - few.mean(axis=0), atol=1e-3)
    np.testing.assert_array_equal(without_common_parts(few[:1]), few[:1])


@pytest.mark.parametrize("embedding", ["encoder", "finetuned"])
def test_an_encoder_s_features_are_the_same_for_all_folds(tmp_path: Path, folded: Corpus, embedding: str) -> None:
    pretrained(tmp_path / "features", folded, embedding)
    assert all(features_of_fold(tmp_path / "features", fold) == tmp_path / "features" for fold in range(3))
    assert len(open_matrix(tmp_path / "features/matrix")) == len(POSTS)


@pytest.mark.parametrize("embedding", ["encoder", "finetuned"])
def test_other_texts_are_read_with_the_settings_of_the_encoder(tmp_path: Path, corpus: Corpus, embedding: str) -> None:
    own = {"prompt": "query: ", "truncate_dim": 7, "max_length": 12}
    words(tmp_path / "features", corpus, embedding=embedding, **own)
    assert read_json(tmp_path / "features/features.json")["inputs"] == 7
    texts = [text for _, text in POSTS]
    stored = open_matrix(tmp_path / "features/matrix").batch(np.arange(len(texts)))
    for made, row in zip(open_vectorizer(tmp_path / "features")(texts), stored, strict=True):
        np.testing.assert_array_equal(made, row)
    if embedding == "finetuned":
        network = describe_network(
            read_params(ROOT / "params.yaml").train_dense, read_json(tmp_path / "features/features.json"), 1
        )
        assert build(network).encoder.prompt == "query: "


@pytest.mark.parametrize("embedding", ["encoder", "finetuned"])
def test_another_encoder_of_the_same_name_is_one_line(
    tmp_path: Path, corpus: Corpus, embedding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words(tmp_path / "features", corpus, embedding=embedding)
    assert open_vectorizer(tmp_path / "features")([Text("a cat", "")])
    load = encoder_module.load

    def changed(settings: EncoderSettings) -> object:
        model = load(settings)
        with torch.no_grad():
            next(model.parameters())[0, 0] += 1
        return model

    monkeypatch.setattr(encoder_module, "load", changed)
    with pytest.raises(UserError, match=r"is not the encoder that .*features was made with; restore that one"):
        open_vectorizer(tmp_path / "features")


def test_a_vectorizer_of_another_version_is_one_line(tmp_path: Path) -> None:
    """As of the version that averaged word vectors."""
    write_json(tmp_path / "vectorizer.json", {"kind": "words", "sublinear_tf": True})
    with pytest.raises(UserError, match=r"vectorizer\.json: of another version of this project; "):
        open_vectorizer(tmp_path)


@pytest.mark.parametrize(
    ("module", "changes"),
    [
        (featurize_dense, {"min_count": 99}),
        (featurize_dense, {"min_count": 99, "embedding": "word2vec", "subwords": True}),
        (featurize_tfidf, {"min_df": 99}),
    ],
)
def test_an_empty_vocabulary_is_one_line_and_leaves_the_old_features(
    tmp_path: Path, corpus: Corpus, module: ModuleType, changes: dict[str, int]
) -> None:
    def stage(**changes: object) -> subprocess.CompletedProcess:
        write_params(tmp_path, **{module.__name__: changes})
        return run_stage(module, tmp_path)

    done = stage()
    assert done.returncode == 0, done.stderr
    before = {path: path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file()}
    done = stage(**changes)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1 and next(iter(changes)) in done.stderr
    assert {path: path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file()} == before


WITHOUT_TORCH = """
import os, sys
import featurize_dense
for folder in sys.argv[1:]:
    os.chdir(folder)
    featurize_dense.main()
    assert "torch" not in sys.modules, folder
"""


def test_words_are_featurized_without_torch(tmp_path: Path) -> None:
    """Which takes seconds to import."""
    embeddings = ["learned", "word2vec", "glove"]
    for embedding in embeddings:
        folder = tmp_path / embedding
        write_corpus(folder / "data/posts", POSTS)
        (folder / "vectors.txt").write_text("cat 1 2\ndog 3 4\n")
        write_params(folder, featurize_dense={"embedding": embedding, "vectors": "vectors.txt", "embedding_dim": 2})
    command = [sys.executable, "-c", WITHOUT_TORCH, *(str(tmp_path / embedding) for embedding in embeddings)]
    environment = ENVIRONMENT | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for embedding in embeddings:
        matrix = tmp_path / embedding / "data/features/dense/fold-0/embedding.npy"
        assert matrix.exists() == (embedding != "learned")
