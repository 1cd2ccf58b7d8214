"""Fruits on several databases that all take writes; what was changed on two at a time is merged."""
