"""Fruits; whoever loses a race for one waits a little and tries again."""
