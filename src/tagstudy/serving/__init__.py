"""A predictor that answers HTTP on this machine, with a page to try it."""
