"""Sensitive properties, hashed or encrypted where they are stored."""
