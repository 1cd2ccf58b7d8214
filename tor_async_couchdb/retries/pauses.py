"""How long to wait before a retry."""

import random as random_module
from collections.abc import Callable

# Seconds to wait before a retry, from its number (1 is the first retry) and the previous pause in seconds.
Pause = Callable[[int, float], float]


def immediately(retry: int, previous_pause_s: float) -> float:
    """No pause."""
    return 0.0


def fixed(*, pause_s: float = 0.025) -> Pause:
    """The same pause before each retry."""

    def pause(retry: int, previous_pause_s: float) -> float:
        return pause_s

    return pause


def exponential(*, base_s: float = 0.025, cap_s: float = 2.0) -> Pause:
    """base, 2·base, 4·base, …, but never more than the cap."""

    def pause(retry: int, previous_pause_s: float) -> float:
        return _doubled(base_s, cap_s, retry)

    return pause


def full_jitter(
    *, base_s: float = 0.025, cap_s: float = 2.0, random: Callable[[], float] = random_module.random
) -> Pause:
    """A random part of the exponential pause, so that writers that collided once do not collide again.

    "Exponential Backoff And Jitter", Marc Brooker, AWS Architecture Blog, 2015.
    """

    def pause(retry: int, previous_pause_s: float) -> float:
        return random() * _doubled(base_s, cap_s, retry)

    return pause


def equal_jitter(
    *, base_s: float = 0.025, cap_s: float = 2.0, random: Callable[[], float] = random_module.random
) -> Pause:
    """Half of the exponential pause, and a random part of the other half (same source as `full_jitter`)."""

    def pause(retry: int, previous_pause_s: float) -> float:
        return (0.5 + 0.5 * random()) * _doubled(base_s, cap_s, retry)

    return pause


def decorrelated_jitter(
    *, base_s: float = 0.025, cap_s: float = 2.0, random: Callable[[], float] = random_module.random
) -> Pause:
    """A random pause between the base and three times the previous one (same source as `full_jitter`)."""

    def pause(retry: int, previous_pause_s: float) -> float:
        longest_s = 3.0 * max(base_s, previous_pause_s)
        return min(cap_s, base_s + random() * (longest_s - base_s))

    return pause


def _doubled(base_s: float, cap_s: float, retry: int) -> float:
    return min(cap_s, base_s * 2.0 ** min(retry - 1, 64))
