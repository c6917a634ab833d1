"""Stage featurize_dense: each post as a bag of words, for an embedding that is learned with the network.

in:  data/posts
out: data/features/dense/{train,valid,test}: bags with weights count / length, so that the table's rows are averaged;
     vocabulary.json: the words that train holds at least min_count times, in the order of the columns
"""

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.preprocessing import normalize

from features import read_texts, write_bags
from params import read_params
from stage import FEATURES, SPLITS, BadInput, run, whole_folder, write_json
from text import tokenize


def main() -> str:
    params = read_params().featurize_dense
    counter = CountVectorizer(analyzer=tokenize, dtype=np.float32)
    try:
        counts = counter.fit_transform(read_texts("train"))
    except ValueError:  # how scikit-learn puts an empty vocabulary
        raise BadInput("no word in the posts of train; is ingest.source what it should be?") from None
    kept = np.flatnonzero(counts.sum(axis=0) >= params.min_count)
    if not len(kept):
        raise BadInput(f"no word occurs {params.min_count} times in train; lower featurize_dense.min_count")
    vocabulary = counter.get_feature_names_out()[kept].tolist()
    with whole_folder(FEATURES / "dense") as folder:
        write_json(folder / "vocabulary.json", vocabulary)
        for split in SPLITS:
            if split != "train":
                counts = counter.transform(read_texts(split))
            write_bags(folder / split, normalize(counts[:, kept], norm="l1"))
    return f"{len(vocabulary):,} words"


if __name__ == "__main__":
    run(main)
