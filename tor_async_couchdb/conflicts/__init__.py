"""Conflicting revisions: merged, resolved, reconciled."""
