"""The database of the samples."""
