"""`/_version` and `/_noop`: which version runs, and what a request that does nothing costs."""

from tor_async_service.http.handler import ServiceHandler


class VersionHandler(ServiceHandler):
    """Says which version of the service answers."""

    async def get(self) -> None:
        """200, always."""
        href = self.outer_url()
        self.write_json({"version": self.service.version, "links": {"self": {"href": href}}})


class NoopHandler(ServiceHandler):
    """Does nothing, so that a client can measure the round trip to the service."""

    async def get(self) -> None:
        """200, always."""
        self.write_json({"links": {"self": {"href": self.outer_url()}}})
