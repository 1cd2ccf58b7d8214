"""A time limit for design functions, shorter than the timeout after which CouchDB kills the query server."""

import signal
from collections.abc import Callable
from types import FrameType

from couch_named_python.errors import TimeLimitError

DEFAULT_TIMEOUT_MS = 5000  # CouchDB's [couchdb] os_process_timeout
_SHORTEST_MS, _LONGEST_MS = 100, 24 * 3600 * 1000

# In tenths of CouchDB's timeout. A line is first seen up to one tick after it began.
_TICKS_A_TIMEOUT = 10
_INTERRUPT_AFTER_TICKS = 6
_GIVE_UP_AFTER_TICKS = 8


class TimeLimit:
    """Interrupts the work on a line once it has taken 60 to 70 % of CouchDB's timeout.

    If the function swallows the interruption (``except:`` in a loop), ``give_up`` is called at 80 to 90 %.
    One slow timer runs while there is work: arming it for each line would cost more than most map functions.
    """

    def __init__(self, give_up: Callable[[], None]) -> None:
        self._give_up = give_up
        self._tick_s = 0.0
        self._is_ticking = False
        self._is_working = False
        self._line_number = 0
        self._seen_line_number = 0
        self._ticks = 0
        self.set_timeout(DEFAULT_TIMEOUT_MS)
        signal.signal(signal.SIGALRM, self._tick)

    def set_timeout(self, timeout_ms: float) -> None:
        """Set CouchDB's timeout, in milliseconds, for the lines that follow."""
        self._tick_s = min(max(timeout_ms, _SHORTEST_MS), _LONGEST_MS) / 1000 / _TICKS_A_TIMEOUT
        self._is_ticking = False

    def begin(self) -> None:
        """Begin the work on a line. Until ``end``, any instruction may raise TimeLimitError."""
        self._line_number += 1
        # The order matters: a tick between these two statements must not switch off this line's timer.
        self._is_working = True
        if not self._is_ticking:
            self._is_ticking = True
            signal.setitimer(signal.ITIMER_REAL, self._tick_s, self._tick_s)

    def end(self) -> None:
        """End the work on a line. From here on nothing raises TimeLimitError."""
        self._is_working = False

    def _tick(self, _signal_number: int, _frame: FrameType | None) -> None:
        if not self._is_working:
            self._is_ticking = False
            signal.setitimer(signal.ITIMER_REAL, 0)
        elif self._seen_line_number != self._line_number:
            self._seen_line_number = self._line_number
            self._ticks = 0
        else:
            self._ticks += 1
            if self._ticks >= _GIVE_UP_AFTER_TICKS:
                self._give_up()
            if self._ticks >= _INTERRUPT_AFTER_TICKS:
                raise TimeLimitError
