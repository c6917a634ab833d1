"""Stage featurize_tfidf: each post as a bag of terms weighted by TF-IDF.

in:  data/posts
out: data/features/tfidf/{train,valid,test}: bags of TF-IDF weights, rows of length one (L2);
     vocabulary.json: the terms in the order of the columns; idf.npy: [columns] their weights, from train alone
"""

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from features import read_texts, write_bags
from params import read_params
from stage import FEATURES, SPLITS, BadInput, run, whole_folder, write_json
from text import tokenize


def main() -> str:
    params = read_params().featurize_tfidf
    vectorizer = TfidfVectorizer(
        tokenizer=tokenize,
        token_pattern=None,
        lowercase=False,
        ngram_range=(1, params.max_ngram),
        min_df=params.min_df,
        max_features=params.max_features,
        sublinear_tf=params.sublinear_tf,
        dtype=np.float32,
    )
    try:
        rows = vectorizer.fit_transform(read_texts("train"))
    except ValueError:  # how scikit-learn puts an empty vocabulary
        raise BadInput(f"no term stands in {params.min_df} posts of train; lower featurize_tfidf.min_df") from None
    with whole_folder(FEATURES / "tfidf") as folder:
        write_json(folder / "vocabulary.json", vectorizer.get_feature_names_out().tolist())
        np.save(folder / "idf.npy", vectorizer.idf_)
        for split in SPLITS:
            if split != "train":
                rows = vectorizer.transform(read_texts(split))
            write_bags(folder / split, rows)
    return f"{rows.shape[1]:,} terms"


if __name__ == "__main__":
    run(main)
