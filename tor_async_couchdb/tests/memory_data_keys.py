"""A store of data keys in memory."""

from collections.abc import Collection, Mapping


class MemoryDataKeyStore:
    """A DataKeyStore. `fetches` records the subjects of each call of `fetch`."""

    def __init__(self) -> None:
        self.wrapped: dict[str, bytes | None] = {}
        self.fetches: list[list[str]] = []

    def fetch(self, subject_ids: Collection[str]) -> Mapping[str, bytes | None]:
        self.fetches.append(sorted(subject_ids))
        return {name: self.wrapped[name] for name in subject_ids if name in self.wrapped}

    def add(self, subject_id: str, wrapped: bytes) -> None:
        self.wrapped.setdefault(subject_id, wrapped)

    def replace(self, subject_id: str, old: bytes, new: bytes) -> bool:
        is_old = self.wrapped.get(subject_id) == old
        if is_old:
            self.wrapped[subject_id] = new
        return is_old

    def erase(self, subject_id: str) -> None:
        self.wrapped[subject_id] = None

    def subject_ids(self, after: str, limit: int) -> list[str]:
        names = sorted(name for name, wrapped in self.wrapped.items() if wrapped is not None)
        return [name for name in names if name > after][:limit]
