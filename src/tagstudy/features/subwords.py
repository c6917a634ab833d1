"""The character n-grams that the words of a vocabulary are made of."""

import numpy as np
from scipy.sparse import csr_array

LENGTHS = (3, 5)  # characters of an n-gram, the edges of the word included
WORDS = 3  # that must hold an n-gram: a rarer one would hardly share anything


def ngrams_of(words: list[str]) -> csr_array:
    """[words, n-grams] The part that each n-gram has in a word: the number of times it occurs, divided by their sum."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.preprocessing import normalize

    vectorizer = CountVectorizer(analyzer="char_wb", ngram_range=LENGTHS, lowercase=False, dtype=np.float32)
    counts = csr_array(vectorizer.fit_transform(words))
    shared = np.bincount(counts.indices, minlength=counts.shape[1]) >= WORDS
    counts = counts[:, shared]
    return csr_array(normalize(counts, norm="l1")) if shared.any() else counts
