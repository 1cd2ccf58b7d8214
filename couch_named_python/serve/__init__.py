"""What CouchDB talks to: the query server and the command that starts it."""
