"""evaluate.py: the tables that it hands to DVC and to the figures."""

import numpy as np
import pandas as pd

import scoring
from evaluate import co_occurrence, mean_confusion, mean_history

LABELS = np.array([[1, 1, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], dtype=bool)


def test_confusion_counts_every_post_once_per_tag() -> None:
    guesses = [LABELS, ~LABELS]
    table = mean_confusion([scoring.count(LABELS, guess) for guess in guesses], ["a", "b", "c"])
    assert table.groupby("tag")["posts"].sum().tolist() == [4, 4, 4]
    cells = {(row.tag, row.actual, row.predicted): row.posts for row in table.itertuples()}
    assert [cells["a", *cell] for cell in (("yes", "yes"), ("yes", "no"), ("no", "yes"), ("no", "no"))] == [
        1.5,
        1.5,
        0.5,
        0.5,
    ]
    assert cells["c", "yes", "yes"] == cells["c", "yes", "no"] == 0


def test_co_occurrence_is_a_share_of_the_first_tag_s_posts() -> None:
    table = co_occurrence(LABELS[:, :2], ["a", "b"]).set_index(["tag", "with"])
    assert table["posts"].to_dict() == {("a", "a"): 3, ("a", "b"): 2, ("b", "a"): 2, ("b", "b"): 3}
    assert table.loc[("a", "b"), "share"] == 2 / 3
    assert np.isnan(table.loc[("a", "a"), "share"])


def test_history_is_a_mean_as_far_as_all_runs_went() -> None:
    runs = [
        pd.DataFrame({"epoch": range(length), "valid_loss": [value] * length}) for length, value in ((3, 1.0), (2, 2.0))
    ]
    assert mean_history(runs)["valid_loss"].tolist() == [1.5, 1.5]
