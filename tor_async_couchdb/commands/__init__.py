"""The commands of `python -m tor_async_couchdb`: install, replicate, re-sign, re-encrypt, keys, secrets."""
