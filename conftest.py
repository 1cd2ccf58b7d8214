"""Loads the fixtures that the tests of all packages use."""

import hypothesis
import pytest

from tor_async_couchdb.testing import plugin

pytest_plugins = ("tor_async_couchdb.tests.fixtures",)

# ./test_all_samples.sh --all takes it: ten times the examples of a test that does not set their number.
# Without a deadline for each example: on a busy machine that would be a timed assertion.
hypothesis.settings.register_profile("quick", deadline=None)
hypothesis.settings.register_profile("long", max_examples=1000, deadline=None)
hypothesis.settings.load_profile("quick")


def pytest_configure(config: pytest.Config) -> None:
    """Loads the plugin in a checkout; where the distribution is installed, its entry point has loaded it."""
    if not config.pluginmanager.is_registered(plugin):
        config.pluginmanager.register(plugin, "tor_async_couchdb")
