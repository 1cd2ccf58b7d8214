"""Loads the fixtures that the tests of all packages use."""

import pytest

from tor_async_couchdb.testing import plugin

pytest_plugins = ("tor_async_couchdb.tests.fixtures",)


def pytest_configure(config: pytest.Config) -> None:
    """Loads the plugin in a checkout; where the distribution is installed, its entry point has loaded it."""
    if not config.pluginmanager.is_registered(plugin):
        config.pluginmanager.register(plugin, "tor_async_couchdb")
