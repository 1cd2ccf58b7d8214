"""Typed persistent maps, in transactions of a database."""
