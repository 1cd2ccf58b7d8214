"""A sample: README.md says what it shows."""
