"""Where things are, relative to the study's folder, in which every command runs."""

from pathlib import Path

SPLITS = ("train", "valid", "test")
ARMS = {"dense": "dense", "sparse": "tfidf"}  # an arm and the folder of its features
POSTS = Path("data/posts")
FEATURES = Path("data/features")
MODELS = Path("data/models")
TIMINGS = Path("data/timings")
METRICS = Path("metrics")
PLOTS = Path("plots")
