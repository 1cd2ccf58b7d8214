"""What a service on CouchDB may have beside its requests: signing, protection, reconciling."""
