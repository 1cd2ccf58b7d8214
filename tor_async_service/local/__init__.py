"""A service on one's own machine, with all that it needs: a CouchDB, its database, keys, an etcd."""
