"""The alarm about documents that were tampered with: in the log, once a document."""

import collections
import logging

from tor_async_couchdb.errors import TamperedError

_logger = logging.getLogger(__name__)

_MAX_REMEMBERED = 10_000  # some 150 bytes each


class TamperingAlarm:
    """Logs each document once, however often it is read; of very many it forgets those logged first."""

    def __init__(self) -> None:
        self._sounded: collections.OrderedDict[str, None] = collections.OrderedDict()

    def sound(self, error: TamperedError) -> None:
        """Logs the document unless that has been done."""
        if error.document_id in self._sounded:
            return
        self._sounded[error.document_id] = None
        if len(self._sounded) > _MAX_REMEMBERED:
            self._sounded.popitem(last=False)
        _logger.critical("ALARM: %s", error)
