"""The data: how many fruits there are of each color."""

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True, slots=True)
class FruitCensus:
    """The number of fruits, by their color."""

    count_by_color: Mapping[str, int]
