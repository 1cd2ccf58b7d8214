"""For tests of services: a CouchDB, databases of a test's own, faults between service and database.

`plugin` has the pytest fixtures.
"""
