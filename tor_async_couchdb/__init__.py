"""An async CouchDB client for Tornado services: models, conflicts, retries, signing, installing."""
