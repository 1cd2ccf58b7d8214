"""What a service on CouchDB can have: signing, encryption and hashing, reconciliation."""
