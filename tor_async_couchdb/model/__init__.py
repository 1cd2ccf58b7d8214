"""Models: typed, immutable data that CouchDB stores as documents."""
