"""Views, a filter, validation and an update over fruits: the documents of the CRUD samples."""

from collections.abc import Iterator
from typing import Any

from couch_named_python import Forbidden, version

Document = dict[str, Any]


@version(1)
def by_color(fruit: Document) -> Iterator[tuple[str, str]]:
    """Find the ids of fruits by their color."""
    if fruit.get("type") == "fruit_v1.0":
        yield fruit["color"], fruit["fruit_id"]


@version(1)
def by_month(fruit: Document) -> Iterator[tuple[list[int], int]]:
    """Count fruits by the year and month in which they were created."""
    if fruit.get("type") == "fruit_v1.0":
        year, month, _ = fruit["created_on"].split("-", 2)
        yield [int(year), int(month)], 1


@version(1)
def color_by_id(fruit: Document) -> Iterator[tuple[str, str]]:
    """Find the color of a fruit. With ``distinct_values`` the view has all colors in use."""
    if fruit.get("type") == "fruit_v1.0":
        yield fruit["fruit_id"], fruit["color"]


@version(1)
def distinct_values(keys: list[Any] | None, values: list[Any], rereduce: bool) -> list[Any]:
    """Reduce to the distinct values, sorted. A reduction has to be small, so there must be few of them."""
    return sorted({value for part in values for value in part} if rereduce else set(values))


@version(1)
def of_color(fruit: Document, request: Document) -> bool:
    """Select the fruits of one color: ``_changes?filter=fruits/of_color&color=red``."""
    return bool(fruit.get("color") == request["query"].get("color"))


@version(1)
def has_a_color(new: Document, old: Document | None, user: Document, security: Document) -> None:
    """Refuse a fruit without a color."""
    if new.get("type") == "fruit_v1.0" and not new.get("_deleted") and not new.get("color"):
        raise Forbidden("a fruit has a color")


@version(1)
def paint(fruit: Document | None, request: Document) -> tuple[Document | None, str]:
    """Change the color: ``POST _design/fruits/_update/paint/<id>?color=red``."""
    if fruit is None:
        return None, "no such fruit"
    return {**fruit, "color": request["query"]["color"]}, "painted"
