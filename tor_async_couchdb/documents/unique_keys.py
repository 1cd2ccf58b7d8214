"""Finds documents by a key that is unique and never changes, mostly without asking the view."""

import collections
import logging
from collections.abc import Awaitable, Callable

from tor_async_couchdb.errors import NotFoundError
from tor_async_couchdb.model import Document

_logger = logging.getLogger(__name__)

_MAX_REMEMBERED = 50_000  # about 200 bytes each


class UniqueKeys:
    """Remembers which document has which key, and looks up the others.

    `look_up` returns the ids under a key in a view, `fetch` returns a document or raises NotFoundError. A
    remembered id is only a guess: the document itself says whether it still has the key. At most
    `max_remembered` keys are remembered.
    """

    def __init__(
        self,
        look_up: Callable[[str, str], Awaitable[list[str]]],
        fetch: Callable[[str], Awaitable[Document]],
        *,
        max_remembered: int = _MAX_REMEMBERED,
    ) -> None:
        self._look_up = look_up
        self._fetch = fetch
        self._max_remembered = max_remembered
        self._ids: collections.OrderedDict[tuple[str, str], str] = collections.OrderedDict()

    def remember(self, design_doc: str, key: str, document_id: str) -> None:
        """Remembers that the document has the key in the view.

        If there is no room, the least recently used key is forgotten.
        """
        self._ids[design_doc, key] = document_id
        self._ids.move_to_end((design_doc, key))
        if len(self._ids) > self._max_remembered:
            self._ids.popitem(last=False)

    async def find(self, design_doc: str, key: str, has_key: Callable[[Document], bool]) -> Document | None:
        """The document that has the key, or None. Of several it is the one with the smallest id."""
        document = await self._recall(design_doc, key, has_key)
        if document is not None:
            return document
        document_ids = await self._look_up(design_doc, key)
        if not document_ids:
            return None
        document = await self._fetch_live(document_ids[0])
        if len(document_ids) > 1:
            _logger.error(
                "%d documents share a key in view '%s': %s", len(document_ids), design_doc, document_ids
            )
        elif document is not None and has_key(document):
            self.remember(design_doc, key, document_ids[0])
        return document

    async def _recall(
        self, design_doc: str, key: str, has_key: Callable[[Document], bool]
    ) -> Document | None:
        document_id = self._ids.get((design_doc, key))
        if document_id is None:
            return None
        self._ids.move_to_end((design_doc, key))
        document = await self._fetch_live(document_id)
        if document is not None and has_key(document):
            return document
        self._ids.pop((design_doc, key), None)
        return None

    async def _fetch_live(self, document_id: str) -> Document | None:
        try:
            return await self._fetch(document_id)
        except NotFoundError as error:
            if error.reason in ("missing", "deleted"):
                return None
            raise
