"""Sentence encoders: vectors of posts of any length, and a cache of them."""
