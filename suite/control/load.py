"""The load of a run: locust, one process with its page, told what to do over HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import requests

from suite.errors import SuiteError
from suite.supervision import Supervisor
from suite.table import loaded

_TIMEOUT_S = 10.0
# Locust answers when its books are closed, which takes long if a service hangs.
_STOP_TIMEOUT_S = 60.0


class LoadError(SuiteError):
    """There can't be such a load."""


@dataclass(frozen=True)
class Load:
    """Which samples get load, and how much: users, their fruits, and how many of 100 requests are PUT."""

    samples: tuple[str, ...] = ()
    users: int = 25
    fruits: int = 5
    percent_put: int = 80


class LoadControl:
    """Starts, changes and stops the load that locust, whose page is at `page_url`, puts on services."""

    def __init__(self, page_url: str, supervisor: Supervisor) -> None:
        self._page_url = page_url
        self._supervisor = supervisor
        self._choices = loaded(service.sample for service in supervisor.services.values())
        self._load = Load(tuple(self._choices[:1]))

    def state(self) -> dict[str, Any]:
        """The load that was last asked for, whether it runs, and the samples that may be chosen."""
        return asdict(self._load) | {"is_running": self._is_running(), "choices": self._choices}

    def start(self, changes: Mapping[str, Any]) -> None:
        """Starts the load as it was last asked for, with these changes.

        Raises:
            LoadError: a value makes no sense.
            SuiteError: locust can't be reached or refuses.
        """
        load = _changed(self._load, changes)
        for name in load.samples:
            self._supervisor.named(name)
            if name not in self._choices:
                raise LoadError(f"samples: {name} gets no load; choose from {', '.join(self._choices)}.")
        if self._is_running():
            self.stop()
        form = {
            "user_count": str(load.users),
            "spawn_rate": str(load.users),
            "services": ",".join(load.samples),
            "fruits": str(load.fruits),
            "percent_put": str(load.percent_put),
        }
        answer = self._ask("/swarm", form).json()
        if not answer.get("success"):
            raise SuiteError(f"locust refuses the load: {answer.get('message')}")
        self._load = load

    def stop(self) -> None:
        """Stops the load. Its books are closed then.

        Raises:
            SuiteError: locust can't be reached.
        """
        self._ask("/stop")

    def books(self) -> Any:
        """What locust's users were told, and what is stored, by sample; nothing if locust does not say."""
        return self._books().get("services", {})

    def _is_running(self) -> bool:
        return bool(self._books().get("is_running"))

    def _books(self) -> dict[str, Any]:
        try:
            answer = requests.get(f"{self._page_url}/books", timeout=_TIMEOUT_S)
            books: dict[str, Any] = answer.json() if answer.ok else {}
        except requests.RequestException:
            return {}
        return books

    def _ask(self, path: str, form: Mapping[str, str] | None = None) -> requests.Response:
        try:
            answer = requests.post(f"{self._page_url}{path}", data=form, timeout=_STOP_TIMEOUT_S)
            answer.raise_for_status()
        except requests.RequestException as error:
            raise SuiteError(
                f"locust does not answer at {self._page_url}: it is started after the samples are compared."
            ) from error
        return answer


def _changed(load: Load, changes: Mapping[str, Any]) -> Load:
    unknown = changes.keys() - asdict(load).keys()
    if unknown:
        raise LoadError(f"A load has no {', '.join(sorted(unknown))}.")
    for name, (least, most) in {"users": (1, 1000), "fruits": (1, 1000), "percent_put": (0, 100)}.items():
        value = changes.get(name, least)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise LoadError(f"{name}: a whole number from {least} to {most}.")
    samples = changes.get("samples", load.samples)
    if not _are_names(samples):
        raise LoadError("samples: a list with the name of at least one sample.")
    return replace(load, **{**changes, "samples": tuple(samples)})


def _are_names(samples: Sequence[Any]) -> bool:
    return (
        isinstance(samples, (list, tuple))
        and bool(samples)
        and all(isinstance(each, str) for each in samples)
    )
