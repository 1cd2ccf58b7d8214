"""People: what the database has of them, what the service shows, and how they are forgotten."""

import uuid
from dataclasses import dataclass
from typing import Any

import aiohttp

from watch.plain_couchdb import MissingError, PlainDatabase
from watch.service_client import ask_service, new_fruit

_PERSON = {"email": "jane@example.com", "address": "12 Orchard Lane", "pin": "7391"}


@dataclass(frozen=True)
class AsyncPeople:
    """The owners of fruits in the service at `url`, whose documents are in `database`."""

    url: str
    database: PlainDatabase
    session: aiohttp.ClientSession

    async def add(self) -> dict[str, Any]:
        """Gives a new fruit to a new person; see `look`."""
        owner = {"owner_id": uuid.uuid4().hex, **_PERSON}
        body = {"color": "red", "owner": owner}
        fruit = await new_fruit(self.session, self.url, body)
        return await self.look(fruit["fruit_id"])

    async def look(self, fruit_id: str) -> dict[str, Any]:
        """The document as it is `stored`, beside the service's `answer` and its `status`.

        Raises:
            MissingError: there is no such fruit.
        """
        status, answer = await ask_service(self.session, self.url, "GET", f"/v1.0/fruits/{fruit_id}")
        stored = await self.database.fruit(fruit_id)
        owner_id = stored.get("owner_id")
        return {
            "fruit_id": fruit_id,
            "owner_id": owner_id,
            "stored": stored,
            "status": status,
            "answer": answer,
        }

    async def forget(self, fruit_id: str) -> dict[str, Any]:
        """Deletes the data key of a fruit's owner; see `look`.

        Raises:
            MissingError: there is no such fruit, or it has no owner.
        """
        owner_id = (await self.database.fruit(fruit_id)).get("owner_id")
        if owner_id is None:
            raise MissingError("This fruit has no owner.")
        await ask_service(self.session, self.url, "DELETE", f"/v1.0/owners/{owner_id}")
        return await self.look(fruit_id)
