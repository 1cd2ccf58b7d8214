"""Locks and elections. They use the client; the client knows nothing of them."""
