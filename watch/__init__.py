"""The live page of a run: README.md says what it shows."""
