"""Faults that can be switched on and off while the samples run."""
