"""Calls to CouchDB for each change."""
