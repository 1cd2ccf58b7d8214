"""`/_health`: whether the service, and what it depends on, works."""

from collections.abc import Mapping

from tor_async_couchdb import errors
from tor_async_service.http.handler import ServiceHandler
from tor_async_service.http.service import HealthCheck
from tor_async_service.operations import quickness


class UnhealthyError(Exception):
    """A check of a service's own failed; `/_health` shows the text as the reason."""


_REASONS: tuple[tuple[type[errors.CouchDBError], str], ...] = (
    (errors.NotFoundError, "database gone"),
    (errors.UnauthorizedError, "credentials refused"),
    (errors.ForbiddenError, "credentials refused"),
    (errors.TransportError, "unreachable"),
    (errors.NoMajorityError, "most nodes of the cluster are down, so no write can be acknowledged"),
)


class HealthHandler(ServiceHandler):
    """`?quick=true` (the default) does no I/O; `?quick=false` runs all health checks of the service."""

    async def get(self) -> None:
        """200 and green, or 503 and red with the reasons in `details`."""
        is_quick = quickness.asked_for(self, default=True)
        details = {}
        if self.service.drain.is_draining:
            details["service"] = _red("draining")
        if not is_quick:
            details |= await _failures(self.service.health_checks)
        href = self.request.full_url()
        self.set_header("Location", href)
        self.set_status(503 if details else 200)
        answer: dict[str, object] = {
            "status": "red" if details else "green",
            "links": {"self": {"href": href}},
        }
        self.write_json(answer | ({"details": details} if details else {}))


async def _failures(checks: Mapping[str, HealthCheck]) -> dict[str, dict[str, str]]:
    failures = {}
    for name, check in checks.items():
        try:
            await check()
        except UnhealthyError as error:
            failures[name] = _red(str(error))
        except errors.CouchDBError as error:
            reasons = (reason for error_class, reason in _REASONS if isinstance(error, error_class))
            failures[name] = _red(next(reasons, "not working"))
    return failures


def _red(reason: str) -> dict[str, str]:
    return {"status": "red", "reason": reason}
