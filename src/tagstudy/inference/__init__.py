"""Tags for new posts, by the models of a finished study."""
