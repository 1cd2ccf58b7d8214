"""How large a database and its views are, and how much of that is garbage."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Self


@dataclasses.dataclass(frozen=True, slots=True)
class Sizes:
    """`data_size` bytes in use of the `disk_size` bytes in the file; None where CouchDB doesn't say."""

    data_size: int | None
    disk_size: int | None

    @classmethod
    def from_information(cls, information: Mapping[str, Any]) -> Self:
        """From CouchDB's information on a database or a view index (CouchDB 2 and later: `sizes`)."""
        sizes = information.get("sizes", {})
        return cls(data_size=sizes.get("active"), disk_size=sizes.get("file"))

    @property
    def fragmentation(self) -> int | None:
        """The percentage of the file that compaction would free; None where that can't be told."""
        if self.data_size is None or self.disk_size is None:
            return None
        if self.disk_size == 0:
            return 0
        # A small file can be smaller than its data was: CouchDB's sizes are estimates.
        return max(0, round(100 * (self.disk_size - self.data_size) / self.disk_size))


@dataclasses.dataclass(frozen=True, slots=True)
class ViewMetrics:
    """The size of one design document's index."""

    design_doc: str
    sizes: Sizes


@dataclasses.dataclass(frozen=True, slots=True)
class DatabaseMetrics:
    """The size of a database and of its views; `doc_count` counts design documents too."""

    database: str
    doc_count: int
    sizes: Sizes
    view_metrics: Sequence[ViewMetrics]
