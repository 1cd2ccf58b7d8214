"""Fruits before and after a load, in a service that fails at times."""

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from loadgen.fruits import Fruits, ServiceError
from loadgen.tests.fruit_service import Service, running


@pytest.fixture
def service() -> Iterator[Service]:
    with running(Service()) as running_service:
        yield running_service


@pytest.fixture
def fruits(service: Service) -> Iterator[Fruits]:
    with closing(Fruits(service.url)) as made:
        yield made


def test_created_fruits_are_counted_and_deleted(service: Service, fruits: Fruits) -> None:
    change_counts = fruits.create(3)
    assert change_counts == service.change_counts
    assert len(change_counts) == 3
    service.change_counts[next(iter(change_counts))] = 9
    assert sorted(fruits.change_counts(change_counts, deadline_s=0).values()) == [0, 0, 9]
    fruits.delete(change_counts)
    assert service.change_counts == {}


def test_reading_back_waits_for_a_service_that_recovers(service: Service, fruits: Fruits) -> None:
    change_counts = fruits.create(2)
    service.refuse_reads = 2
    assert fruits.change_counts(change_counts, deadline_s=10) == change_counts
    assert service.refuse_reads == 0


def test_reading_back_gives_up_at_its_deadline(service: Service, fruits: Fruits) -> None:
    change_counts = fruits.create(1)
    service.refuse_reads = 1_000_000
    with pytest.raises(ServiceError, match=r"can't read fruit .* back: GET answered 503 Service Unavailable"):
        fruits.change_counts(change_counts, deadline_s=0.3)


def test_fruit_that_is_gone_is_not_waited_for(service: Service, fruits: Fruits) -> None:
    change_counts = fruits.create(1)
    service.change_counts.clear()
    with pytest.raises(ServiceError, match="is gone"):
        fruits.change_counts(change_counts, deadline_s=3600)


def test_service_that_creates_only_some_is_left_without_any(service: Service, fruits: Fruits) -> None:
    service.create_at_most = 2
    with pytest.raises(ServiceError, match=r"can't create a fruit: POST .* answered 503 Service Unavailable"):
        fruits.create(3)
    assert service.change_counts == {}


def test_service_that_is_not_there_is_an_error() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with closing(Fruits(url)) as fruits:
            with pytest.raises(
                ServiceError, match=f"can't create a fruit at {url}/v1.0/fruits: no connection"
            ):
                fruits.create(1)
            fruits.delete(["apple"])
