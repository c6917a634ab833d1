"""Titles that no spaces divide into words give nearly the scores that they give with spaces, in both arms.

900 titles, made of word lists: each asks about one or two topics, in words that several topics share characters with.
"""

import itertools
import json
import random
from contextlib import chdir
from pathlib import Path

import pytest
from conftest import write_params

import evaluate
import featurize_dense
import featurize_tfidf
import ingest
import train_dense
import train_sparse

TOPICS = {
    "文字列": ["文字列", "改行", "空白", "正規表現", "文字化け"],
    "配列": ["配列", "要素", "二次元配列", "並べ替え", "添字"],
    "データベース": ["データベース", "テーブル", "外部キー", "索引", "問い合わせ"],
    "画像": ["画像", "背景色", "透過", "画素", "縮小"],
    "通信": ["通信", "サーバー", "接続", "応答", "証明書"],
    "関数": ["関数", "引数", "戻り値", "再帰", "無名関数"],
    "日付": ["日付", "時刻", "曜日", "時差", "月末"],
    "ファイル": ["ファイル", "拡張子", "保存先", "圧縮", "一括保存"],
}
VERBS = ["変換", "取得", "表示", "比較", "削除", "追加", "処理", "設定"]
ENDS = [
    ["したい"],
    ["する", "方法"],
    ["できない"],
    ["すると", "エラー", "に", "なる"],
    ["する", "には", "どう", "すれば", "いい", "ですか"],
]
BEFORE = [[], ["Python", "で"], ["JavaScript", "で"], ["複数", "の"], ["大量", "の"], ["初心者", "です", "が"]]


def titles() -> list[tuple[list[str], list[str]]]:
    """900 different titles as words, and their tags."""
    draw = random.Random(0)
    made: dict[str, tuple[list[str], list[str]]] = {}
    while len(made) < 900:
        tags = draw.sample(list(TOPICS), draw.choice((1, 1, 2)))
        nouns = list(itertools.chain(*([draw.choice(TOPICS[tag]), "の"] for tag in tags)))[:-1]
        words = [*draw.choice(BEFORE), *nouns, "を", draw.choice(VERBS), *draw.choice(ENDS)]
        made.setdefault("".join(words), (words, tags))
    return list(made.values())


def scores(folder: Path, between: str) -> dict[str, float]:
    """Test micro-F1 of each arm, of a study of the titles with this between words."""
    folder.mkdir()
    rows = (json.dumps({"title": between.join(words), "tags": tags}) for words, tags in titles())
    (folder / "posts.jsonl").write_text("\n".join(rows), encoding="utf-8")
    write_params(
        folder,
        ingest={"source": "posts.jsonl", "tags": len(TOPICS), "min_tags": 1, "folds": 1},
        featurize_dense={"embedding_dim": 64},
        train={"runs": 1, "hidden": [64]},
        evaluate={"resamples": 100},
    )
    with chdir(folder):
        for stage in (ingest, featurize_dense, featurize_tfidf, train_dense, train_sparse, evaluate):
            stage.main()
    metrics = json.loads((folder / "metrics/metrics.json").read_text())
    return {arm: metrics[arm]["micro_f1"] for arm in ("dense", "sparse")}


@pytest.mark.slow
def test_titles_without_spaces_give_what_those_with_spaces_give(tmp_path: Path) -> None:
    with_spaces, without = scores(tmp_path / "with", " "), scores(tmp_path / "without", "")
    print(f"micro-F1 with spaces {with_spaces}, without {without}")
    for arm, score in with_spaces.items():
        assert score > 0.9
        assert without[arm] > score - 0.05
