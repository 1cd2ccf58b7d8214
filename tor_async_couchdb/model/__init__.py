"""Models: typed, immutable data that CouchDB stores as documents, and what their properties declare."""

from tor_async_couchdb.model.model import Document, Model

__all__ = ["Document", "Model"]
