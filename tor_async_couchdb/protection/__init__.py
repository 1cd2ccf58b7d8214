"""Signing, encryption and hashing, and the keys for them."""
