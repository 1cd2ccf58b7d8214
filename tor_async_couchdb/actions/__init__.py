"""What a service does with its models in CouchDB: one class for each action."""
