"""The attacker: changes documents in the database, past the service and its rules.

docs/tampering.md has the whole matrix of attacks; samples/tests/test_tampering.py plays all of them.
"""

import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp

from watch.model import metrics
from watch.plain_couchdb import Document, MissingError, PlainDatabase
from watch.service_client import ask_service, new_fruit

_SIGNATURE_PREFIX = "tampering_signature"
_TIMEOUT = aiohttp.ClientTimeout(total=10.0)


@dataclass(frozen=True)
class Attack:
    """One row of the matrix: what is done, and whether the signature alone catches it."""

    name: str
    sentence: str
    is_caught: bool


ATTACKS = {
    attack.name: attack
    for attack in (
        Attack("change", "Change the color, and leave the signature as it is.", True),
        Attack("strip", "Change the color, and remove the signature.", True),
        Attack("swap", "Put the signed content of another fruit under this document's id.", True),
        Attack(
            "older",
            "Put back the older version, with its own signature. It takes a witness to notice.",
            False,
        ),
        Attack("delete", "Delete the document. It takes a witness to notice.", False),
    )
}


@dataclass(frozen=True)
class AsyncAttacker:
    """Makes a fruit through the service at `url`, attacks it in the service's `database`, and asks for it.

    The document is removed at the end, so that lists are whole again.
    """

    url: str
    database: PlainDatabase
    session: aiohttp.ClientSession

    async def play(self, attack: Attack) -> dict[str, Any]:
        """What was stored before and after the attack, what the service answers then, and its alarms."""
        fruit_id, document = await self._new_fruit("red")
        older = document
        await self._ask("PUT", f"/v1.0/fruits/{fruit_id}", {"color": "blue"})
        before = await self.database.get(document["_id"])
        alarms_before = await self._alarms()
        try:
            after = await self._attacks[attack.name](before, older)
            started_s = time.monotonic()
            status, answer = await self._ask("GET", f"/v1.0/fruits/{fruit_id}")
            return {
                "attack": attack.name,
                "sentence": attack.sentence,
                "before": before,
                "after": after,
                "status": status,
                "answer": answer,
                "answered_after_ms": round(1000 * (time.monotonic() - started_s), 1),
                "alarms": await self._alarms() - alarms_before,
                "is_caught": status == 502,
            }
        finally:
            await self._remove(document["_id"])

    @property
    def _attacks(self) -> dict[str, Callable[[Document, Document], Awaitable[Document | None]]]:
        return {
            "change": self._change,
            "strip": self._strip,
            "swap": self._swap,
            "older": self._older,
            "delete": self._delete,
        }

    async def _change(self, document: Document, older: Document) -> Document:
        return await self._put(document | {"color": "black"})

    async def _strip(self, document: Document, older: Document) -> Document:
        stripped = {name: value for name, value in document.items() if not name.startswith(_SIGNATURE_PREFIX)}
        return await self._put(stripped | {"color": "black"})

    async def _swap(self, document: Document, older: Document) -> Document:
        _, other = await self._new_fruit("green")
        try:
            own = {"_id": document["_id"], "_rev": document["_rev"], "fruit_id": document["fruit_id"]}
            return await self._put(other | own)
        finally:
            await self._remove(other["_id"])

    async def _older(self, document: Document, older: Document) -> Document:
        return await self._put(older | {"_rev": document["_rev"]})

    async def _delete(self, document: Document, older: Document) -> None:
        await self.database.delete(document)

    async def _put(self, document: Document) -> Document:
        await self.database.put(document)
        return await self.database.get(document["_id"])

    async def _remove(self, document_id: str) -> None:
        with contextlib.suppress(MissingError):
            await self.database.delete(await self.database.get(document_id))

    async def _new_fruit(self, color: str) -> tuple[str, Document]:
        fruit = await new_fruit(self.session, self.url, {"color": color})
        return fruit["fruit_id"], await self.database.fruit(fruit["fruit_id"])

    async def _alarms(self) -> int:
        accept = {"Accept": "text/plain"}
        async with self.session.get(
            f"{self.url}/_metrics?quick=true", headers=accept, timeout=_TIMEOUT
        ) as answer:
            return int(metrics.parse(await answer.text()).get("tampered", 0))

    async def _ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        return await ask_service(self.session, self.url, method, path, body)
