"""The context of finding fruits by a value that is hashed: it travels in a body, because URLs are logged."""

import msgspec

from samples.crud.basic.model import Color
from tor_async_service import ServiceHandler

from . import async_action as actions


class ColorBody(msgspec.Struct, forbid_unknown_fields=True):
    """What a client sends to find fruits by their color. It is in a body, because URLs are logged."""

    color: Color


class FruitsByColorHandler(ServiceHandler):
    """The fruits with one color."""

    async def post(self) -> None:
        color_hash = actions.hash_of_color(self.json_body(ColorBody).color, self.settings["protection"])
        fruits = await actions.AsyncFruitsByColorRetriever(color_hash, self.database).fetch()
        self.write_json([fruit.representation() for fruit in fruits])
