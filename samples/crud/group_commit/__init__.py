"""Fruits; changes that wait for the same fruit are made together."""
