"""Writes to a CouchDB cluster: simulated, and on real nodes."""
