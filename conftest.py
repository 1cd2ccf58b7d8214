"""Loads the fixtures that the tests of all packages use."""

pytest_plugins = ("tor_async_couchdb.testing.plugin", "tor_async_couchdb.tests.fixtures")
