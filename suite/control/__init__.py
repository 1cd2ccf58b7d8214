"""What a page or a person may ask of a run while it goes on: an HTTP API on loopback."""
