"""The scores that networks give to the tags of posts, on disk, and the threshold that turns them into tags."""
