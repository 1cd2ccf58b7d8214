"""The data: what the service can't work without."""

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class View:
    """A view of the database; it has the name of its design document."""

    name: str


NEEDED_VIEWS = (View("fruit_by_fruit_id"), View("fruit_by_color"))
