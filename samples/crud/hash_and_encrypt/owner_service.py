"""The context of the interactions with owners. Sensitive values travel in bodies, because URLs are logged."""

import msgspec
import tornado.web

from tor_async_service import ServiceHandler

from .async_action import AsyncFruitRetriever
from .model import Color, Email, Owner, Pin
from .owner_action import AsyncFruitsByEmailRetriever, AsyncOwnerEraser, AsyncPinChecker


class NewFruitBody(msgspec.Struct, forbid_unknown_fields=True):
    """What a client sends to create a fruit, with or without an owner."""

    color: Color
    owner: Owner | None = None


class EmailBody(msgspec.Struct, forbid_unknown_fields=True):
    """What a client sends to find an owner's fruits."""

    email: Email


class PinBody(msgspec.Struct, forbid_unknown_fields=True):
    """What a client sends to compare a PIN."""

    pin: Pin


class FruitsByEmailHandler(ServiceHandler):
    """The fruits of one owner."""

    async def post(self) -> None:
        body, protection = self.json_body(EmailBody), self.settings["protection"]
        fruits = await AsyncFruitsByEmailRetriever(body.email, protection, self.database).fetch()
        self.write_json([fruit.representation() for fruit in fruits])


class PinCheckHandler(ServiceHandler):
    """Whether a client knows the PIN of a fruit's owner."""

    async def post(self, fruit_id: str) -> None:
        body, protection = self.json_body(PinBody), self.settings["protection"]
        fruit = self.found(await AsyncFruitRetriever(fruit_id, self.database).fetch())
        if not await AsyncPinChecker(fruit, body.pin, protection).check():
            raise tornado.web.HTTPError(403, "This is not the owner's PIN.")


class OwnerHandler(ServiceHandler):
    """One owner."""

    async def delete(self, owner_id: str) -> None:
        await AsyncOwnerEraser(owner_id, self.settings["protection"]).erase()


OWNER_ROUTES = [
    (r"/v1\.0/fruits/by_email", FruitsByEmailHandler),
    (r"/v1\.0/fruits/([0-9a-f]{32})/pin_check", PinCheckHandler),
    (r"/v1\.0/owners/([0-9a-f]{32})", OwnerHandler),
]
