"""From the text of posts to what each arm's network reads."""
