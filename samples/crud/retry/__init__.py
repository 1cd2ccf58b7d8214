"""Fruits; whoever loses a race for one tries again at once."""
