"""From the files people have to posts, tags and splits."""
