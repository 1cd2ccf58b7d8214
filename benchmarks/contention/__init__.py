"""Many writers of one document."""
