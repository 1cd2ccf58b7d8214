"""The pauses that are compared, with the figures of the article's simulator."""

from collections.abc import Callable

from benchmarks.contention.simulation import BASE_S, CAP_S
from tor_async_couchdb.retries import (
    Pause,
    decorrelated_jitter,
    equal_jitter,
    exponential,
    fixed,
    full_jitter,
    immediately,
)

# The simulator counts tries from 1, so that its first pause is already a doubled one.
_DOUBLED_BASE_S = 2 * BASE_S

# A pause for each strategy, drawn from a source of numbers between 0 and 1.
STRATEGIES: dict[str, Callable[[Callable[[], float]], Pause]] = {
    "none": lambda random: immediately,
    "fixed, 50 ms": lambda random: fixed(pause_s=0.05),
    "exponential": lambda random: exponential(base_s=_DOUBLED_BASE_S, cap_s=CAP_S),
    "full jitter": lambda random: full_jitter(base_s=_DOUBLED_BASE_S, cap_s=CAP_S, random=random),
    "equal jitter": lambda random: equal_jitter(base_s=_DOUBLED_BASE_S, cap_s=CAP_S, random=random),
    "decorrelated jitter": lambda random: decorrelated_jitter(base_s=BASE_S, cap_s=CAP_S, random=random),
}

# Completion in milliseconds and calls to write, by strategy and number of writers: the means of 100 runs of
# https://github.com/aws-samples/aws-arch-backoff-simulator.
PUBLISHED: dict[str, dict[int, tuple[int, int]]] = {
    "none": {10: (375, 50), 50: (1136, 688), 100: (2009, 2414), 190: (3541, 8018)},
    "exponential": {10: (3590, 51), 50: (36381, 619), 100: (63635, 1864), 190: (101683, 5183)},
    "full jitter": {10: (465, 39), 50: (2932, 332), 100: (4900, 797), 190: (7508, 1772)},
    "equal jitter": {10: (733, 42), 50: (4274, 346), 100: (6687, 813), 190: (9404, 1759)},
    "decorrelated jitter": {10: (435, 38), 50: (2235, 375), 100: (4608, 1007), 190: (7908, 2440)},
}
