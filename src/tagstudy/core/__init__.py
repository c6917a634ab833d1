"""What all other folders build on: parameters, paths, errors, processes, and the corpus and matrices on disk."""
