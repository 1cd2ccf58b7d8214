"""Fruits; whoever loses a race is told so."""
