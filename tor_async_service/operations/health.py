"""`/_health`: whether the service, and what it depends on, works."""

from typing import Literal

import msgspec

from tor_async_service.http.answers import Links, Parameter, answers, takes
from tor_async_service.http.handler import ServiceHandler
from tor_async_service.operations import quickness
from tor_async_service.operations.checks import failures


class FailedCheck(msgspec.Struct):
    """A check that failed."""

    status: Literal["red"]
    reason: str


class Health(msgspec.Struct, omit_defaults=True):
    """Whether the service works. `details` has the checks that failed."""

    status: Literal["green", "red"]
    links: Links
    details: dict[str, FailedCheck] = {}


class HealthHandler(ServiceHandler):
    """`?quick=true` (the default) does no I/O; `?quick=false` runs all health checks of the service."""

    @takes(
        "quick",
        Parameter(Literal[tuple(quickness.SPELLINGS)], "Whether to leave out the checks that need I/O."),
    )
    @answers(200, Health)
    @answers(503, Health)
    async def get(self) -> None:
        """200 and green, or 503 and red with the reasons in `details`."""
        is_quick = quickness.asked_for(self, default=True)
        details = {}
        if self.service.drain.is_draining:
            details["service"] = _red(": ".join(filter(None, ("draining", self.service.drain.reason))))
        if not is_quick:
            failed = await failures(self.service.health_checks, self.service.deadline_s)
            details |= {name: _red(reason) for name, reason in failed.items()}
        href = self.outer_url()
        self.set_header("Location", href)
        self.set_status(503 if details else 200)
        answer: dict[str, object] = {
            "status": "red" if details else "green",
            "links": {"self": {"href": href}},
        }
        self.write_json(answer | ({"details": details} if details else {}))


def _red(reason: str) -> dict[str, str]:
    return {"status": "red", "reason": reason}
