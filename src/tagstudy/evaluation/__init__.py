"""Scores on test posts, the comparison of the arms, tables and figures."""
