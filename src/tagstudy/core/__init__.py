"""What every stage stands on: parameters, paths, errors, matrices on disk."""
