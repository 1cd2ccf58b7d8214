"""Changes that are counted under load."""
