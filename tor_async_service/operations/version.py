"""`/_version` and `/_noop`: what runs here, and what a request costs that does nothing."""

from tor_async_service.http.handler import ServiceHandler


class VersionHandler(ServiceHandler):
    """Says which version of the service answers."""

    async def get(self) -> None:
        """200, always."""
        href = self.request.full_url()
        self.write_json({"version": self.service.version, "links": {"self": {"href": href}}})


class NoopHandler(ServiceHandler):
    """Does nothing, so that a caller can measure the way to the service and back."""

    async def get(self) -> None:
        """200, always."""
        self.write_json({"links": {"self": {"href": self.request.full_url()}}})
