"""`/livez` and `/readyz`: what Kubernetes and load balancers ask, in the form of kube-apiserver's answers."""

from collections.abc import Mapping

from tor_async_service.http.answers import Parameter, answers, takes
from tor_async_service.http.handler import ServiceHandler

_SHUTDOWN = "shutdown"


class _ProbeHandler(ServiceHandler):
    """Answers with `ok`, or with a line for each check if one fails or the client asks for `?verbose`."""

    probe: str

    @takes("exclude", Parameter(str, "The name of a check that does not count."))
    @takes("verbose", Parameter(str, "Asks for a line for each check."))
    def answer(self, names: list[str], failed: Mapping[str, str]) -> None:
        """200, or 503 if a check failed that `?exclude=NAME` does not leave out."""
        excluded = set(self.get_query_arguments("exclude"))
        is_well = excluded.issuperset(failed)
        lines = [_line(name, name in excluded, failed.get(name)) for name in names]
        lines += [
            f"warn: there is no check {name!r} to exclude" for name in sorted(excluded.difference(names))
        ]
        lines.append(f"{self.probe} check {'passed' if is_well else 'failed'}")
        is_verbose = self.get_query_argument("verbose", None) is not None
        self.set_status(200 if is_well else 503)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.set_header("X-Content-Type-Options", "nosniff")  # it repeats what the client excludes
        self.set_header("Cache-Control", "no-cache, private")
        self.write("ok\n" if is_well and not is_verbose else "".join(f"{line}\n" for line in lines))


def _line(name: str, is_excluded: bool, reason: str | None) -> str:
    if is_excluded:
        return f"[+]{name} excluded: ok"
    return f"[+]{name} ok" if reason is None else f"[-]{name} failed: {reason}"


class LivezHandler(_ProbeHandler):
    """Whether the process works. It asks nothing else: a restart does not repair a database."""

    probe = "livez"

    @answers(200, str, media_types=["text/plain"])
    async def get(self) -> None:
        """200, always: that the event loop answers is what it checks."""
        self.answer(["ping"], {})


class ReadyzHandler(_ProbeHandler):
    """Whether the service should get requests: it does not end, and what it depends on works."""

    probe = "readyz"

    @answers(200, str, media_types=["text/plain"])
    @answers(503, str, media_types=["text/plain"])
    async def get(self) -> None:
        """200, or 503 and the reasons."""
        failed = dict(await self.service.failed_checks())
        if self.service.drain.is_draining:
            failed[_SHUTDOWN] = ": ".join(filter(None, ("the service ends", self.service.drain.reason)))
        self.answer(["ping", _SHUTDOWN, *self.service.health_checks], failed)
