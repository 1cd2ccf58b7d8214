"""`/_version` and `/_noop`: which version runs, and what a request that does nothing costs."""

import msgspec

from tor_async_service.http.answers import Links, answers
from tor_async_service.http.handler import ServiceHandler


class Version(msgspec.Struct):
    """The version of the service."""

    version: str
    links: Links


class Noop(msgspec.Struct):
    """An answer that says nothing."""

    links: Links


class VersionHandler(ServiceHandler):
    """Says which version of the service answers."""

    @answers(200, Version)
    async def get(self) -> None:
        """200, always."""
        href = self.outer_url()
        self.write_json({"version": self.service.version, "links": {"self": {"href": href}}})


class NoopHandler(ServiceHandler):
    """Does nothing, so that a client can measure the round trip to the service."""

    @answers(200, Noop)
    async def get(self) -> None:
        """200, always."""
        self.write_json({"links": {"self": {"href": self.outer_url()}}})
