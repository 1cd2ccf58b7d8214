"""HTTP to CouchDB."""
