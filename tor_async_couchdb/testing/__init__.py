"""For tests of services: a CouchDB, databases of their own, faults."""
