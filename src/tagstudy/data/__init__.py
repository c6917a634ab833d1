"""From files of tagged posts to a corpus on disk: readers, cleaning, tokens, labels and splits."""
