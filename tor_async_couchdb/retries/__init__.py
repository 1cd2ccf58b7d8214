"""Trying again: pauses, policies, budgets."""
