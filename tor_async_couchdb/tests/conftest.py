"""Fixtures of the library's tests: a database of a test's own, and a proxy in front of it."""

from collections.abc import AsyncIterator

import pytest

from conftest import CouchDBServer
