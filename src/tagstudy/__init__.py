"""Compare dense embeddings with TF-IDF for tagging posts."""
