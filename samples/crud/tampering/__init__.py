"""Fruits whose documents are signed: what somebody changed in the database is noticed."""
