"""Stage featurize_dense: each post as a bag of words, for an embedding that is learned with the network.

in:  data/posts
out: data/features/dense/{train,valid,test}: bags with weights count / length, so that the table's rows are averaged;
     vocabulary.json: the words that train holds at least min_count times, in the order of the columns
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from sklearn.preprocessing import normalize

from counting import TrainCounts
from params import read_params
from stage import FEATURES, BadInput, run, whole_folder, write_json


def main() -> str:
    params = read_params().featurize_dense
    with TemporaryDirectory() as scratch, whole_folder(FEATURES / "dense") as folder:
        counts = TrainCounts(Path(scratch) / "counts")
        words = counts.alphabetical(np.flatnonzero(counts.total >= params.min_count))
        if not len(words):
            raise BadInput(f"no word occurs {params.min_count} times in train; lower featurize_dense.min_count")
        write_json(folder / "vocabulary.json", counts.terms[words].tolist())
        counts.write(folder, words, weigh=lambda rows: normalize(rows, norm="l1"))
    return f"{len(words):,} words"


if __name__ == "__main__":
    run(main)
