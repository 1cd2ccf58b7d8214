"""The fruits of a load: created before it, counted and deleted after it."""

import time
from collections.abc import Callable, Iterable
from typing import Literal

import requests

from loadgen.answers import change_count_of, epoch_of, json_object, problem_summary
from loadgen.history import Operation
from loadgen.writes import Demands, asks_for_key

REQUEST_TIMEOUT_S = 5.0
PAUSE_S = 0.25
CLIENT = 0
"""The number of the client that creates, reads back and deletes; those of users begin with 1."""


class ServiceError(Exception):
    """The service does not create the fruits of a load, or they can't be read back."""


class Fruits:
    """Fruits of the load's own in the service at `host`, a URL such as `http://127.0.0.1:8445`.

    `record` is called with each operation on a fruit.
    """

    def __init__(self, host: str, record: Callable[[Operation], None] = lambda _: None) -> None:
        self._url = f"{host}/v1.0/fruits"
        self._record = record
        self.demands = Demands()
        """What the service asks of writes; known when the fruits are created."""
        self._epochs: dict[str, str] = {}
        self._session = requests.Session()
        # Neither proxies nor ~/.netrc, as in the load itself.
        self._session.trust_env = False

    def create(self, number: int) -> dict[str, int]:
        """Create `number` fruits; their change counts by their ids.

        Raises:
            ServiceError: the service didn't create them all. Those that it did create are deleted.
        """
        change_counts: dict[str, int] = {}
        try:
            for _ in range(number):
                fruit_id, change_count = self._create_one()
                change_counts[fruit_id] = change_count
            self._look_for_etag(next(iter(change_counts)))
        except ServiceError:
            self.delete(change_counts)
            raise
        return change_counts

    def change_counts(self, fruit_ids: Iterable[str], *, deadline_s: float) -> dict[str, int]:
        """The change counts that the database has now, by the fruits' ids.

        The database may be restarting, so failed reads are tried again, for `deadline_s` seconds in total.

        Raises:
            ServiceError: a fruit is gone, or couldn't be read in that time.
        """
        give_up_at_s = time.monotonic() + deadline_s
        return {fruit_id: self._read_until(fruit_id, give_up_at_s) for fruit_id in fruit_ids}

    def delete(self, fruit_ids: Iterable[str]) -> None:
        """Delete the fruits. If the service does not answer, the rest are left; they do no harm."""
        for fruit_id in fruit_ids:
            started_ns = time.monotonic_ns()
            try:
                response = self._session.delete(
                    f"{self._url}/{fruit_id}", headers=self.demands.headers("*"), timeout=REQUEST_TIMEOUT_S
                )
            except requests.RequestException:
                self._keep("delete", fruit_id, started_ns)
                return
            self._keep("delete", fruit_id, started_ns, response.status_code)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _keep(
        self,
        kind: Literal["create", "read", "delete"],
        fruit_id: str,
        started_ns: int,
        status: int | None = None,
        change_count: int | None = None,
    ) -> None:
        operation = Operation(
            document=fruit_id,
            kind=kind,
            client=CLIENT,
            start_ns=started_ns,
            end_ns=time.monotonic_ns(),
            status=status,
            change_count=change_count,
            epoch=self._epochs.get(fruit_id, ""),
        )
        self._record(operation)

    def _create_one(self) -> tuple[str, int]:
        started_ns = time.monotonic_ns()
        response = self._post()
        if not self.demands.key and asks_for_key(response.status_code, response.content):
            self.demands = Demands(key=True)
            response = self._post()
        if response.status_code != 201:
            answer = problem_summary(response.status_code, response.content)
            raise ServiceError(f"can't create a fruit: POST {self._url} answered {answer}")
        fruit_id = json_object(response.content).get("fruit_id")
        if (
            not isinstance(fruit_id, str)
            or (change_count := change_count_of(response.content, fruit_id)) is None
        ):
            raise ServiceError(f"POST {self._url} answered 201 without a fruit_id and a change_count")
        self._epochs[fruit_id] = epoch_of(response.content)
        self._keep("create", fruit_id, started_ns, response.status_code, change_count)
        return fruit_id, change_count

    def _post(self) -> requests.Response:
        headers = self.demands.headers("")
        try:
            return self._session.post(
                self._url, json={"color": "green"}, headers=headers, timeout=REQUEST_TIMEOUT_S
            )
        except requests.RequestException as error:
            raise ServiceError(f"can't create a fruit at {self._url}: {_reason(error)}") from error

    def _look_for_etag(self, fruit_id: str) -> None:
        try:
            response = self._session.get(f"{self._url}/{fruit_id}", timeout=REQUEST_TIMEOUT_S)
        except requests.RequestException as error:
            raise ServiceError(f"can't read a fruit at {self._url}: {_reason(error)}") from error
        self.demands = Demands(etag="ETag" in response.headers, key=self.demands.key)

    def _read_until(self, fruit_id: str, give_up_at_s: float) -> int:
        while True:
            started_ns = time.monotonic_ns()
            try:
                response = self._session.get(f"{self._url}/{fruit_id}", timeout=REQUEST_TIMEOUT_S)
            except requests.RequestException as error:
                failure = _reason(error)
            else:
                if response.status_code == 404:
                    self._keep("read", fruit_id, started_ns, 404)
                    raise ServiceError(f"fruit {fruit_id} is gone: GET answered 404")
                change_count = change_count_of(response.content, fruit_id)
                if response.status_code == 200 and change_count is not None:
                    self._epochs[fruit_id] = epoch_of(response.content)
                    self._keep("read", fruit_id, started_ns, 200, change_count)
                    return change_count
                failure = f"GET answered {problem_summary(response.status_code, response.content)}"
            if time.monotonic() + PAUSE_S > give_up_at_s:
                raise ServiceError(f"can't read fruit {fruit_id} back: {failure}")
            time.sleep(PAUSE_S)


def _reason(error: requests.RequestException) -> str:
    if isinstance(error, requests.Timeout):
        return f"no answer within {REQUEST_TIMEOUT_S:g} s"
    return "no connection" if isinstance(error, requests.ConnectionError) else str(error)
