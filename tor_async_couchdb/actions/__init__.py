"""What a service does with its models in CouchDB: one class an action."""
