"""Writers of one row in virtual time, on a server without or with a limit.

The model is that of Marc Brooker's "Exponential Backoff And Jitter", AWS Architecture Blog, 2015
(https://github.com/aws-samples/aws-arch-backoff-simulator): each writer reads the row, then writes it on the
condition that it has not changed meanwhile; if it has, the writer waits, reads again, and so on. Every
message between writer and server takes a while.
"""

import dataclasses
import heapq
import itertools
import math
import random

from tor_async_couchdb.retries import Pause

# Those of the article's simulator.
NETWORK_MEAN_S = 0.010
NETWORK_DEVIATION_S = 0.002
BASE_S = 0.005
CAP_S = 2.0


def network_delay_s(generator: random.Random) -> float:
    """How long one message takes: a normal distribution, folded at zero."""
    return abs(generator.gauss(NETWORK_MEAN_S, NETWORK_DEVIATION_S))


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Who got through by when, and what it took: `write_calls` are attempts to write, each after one read."""

    writers: int
    succeeded: int
    duration_s: float
    write_calls: int


@dataclasses.dataclass(slots=True)
class _Writer:
    seen_version: int | None = None  # None: its next request is a read
    retry: int = 0
    pause_s: float = 0.0


def simulate(
    writers: int,
    pause: Pause,
    generator: random.Random,
    *,
    service_time_s: float = 0.0,
    limit_s: float = math.inf,
) -> Outcome:
    """What becomes of `writers` that all begin at once.

    The server takes `service_time_s` for each request, one after the other in the order in which they arrive.
    It ends after `limit_s` of virtual time for those who have not got through by then.
    """
    order = itertools.count()  # of requests that arrive at the same moment
    arrivals = [(network_delay_s(generator), next(order), _Writer()) for _ in range(writers)]
    heapq.heapify(arrivals)
    version, write_calls, free_s, ended_s = 0, 0, 0.0, 0.0
    while arrivals:
        arrival_s, _, writer = heapq.heappop(arrivals)
        free_s = max(free_s, arrival_s) + service_time_s
        if free_s > limit_s:
            return Outcome(writers, version, limit_s, write_calls)
        answered_s = free_s + network_delay_s(generator)
        if writer.seen_version is None:
            writer.seen_version = version
        else:
            write_calls += 1
            if writer.seen_version == version:
                version += 1
                ended_s = max(ended_s, answered_s)
                continue
            writer.retry += 1
            writer.pause_s = pause(writer.retry, writer.pause_s)
            writer.seen_version = None
            answered_s += writer.pause_s
        heapq.heappush(arrivals, (answered_s + network_delay_s(generator), next(order), writer))
    return Outcome(writers, version, ended_s, write_calls)
