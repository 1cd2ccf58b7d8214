"""Sets of entries: which changes a document stands for.

An entry is named by its writer, which is one run of a process, and by a number that the writer counts up for
each model. So a set of many entries is a few ranges, and the size of a union counts each entry once.
"""

from collections.abc import Iterator, Mapping, Sequence

# By writer: ranges of numbers, both ends included, in order, with a gap between each two.
EntrySet = Mapping[str, Sequence[tuple[int, int]]]


def one_entry(writer: str, number: int) -> dict[str, list[tuple[int, int]]]:
    """The set of one entry."""
    return {writer: [(number, number)]}


def union(*sets: EntrySet) -> dict[str, list[tuple[int, int]]]:
    """The entries that are in any of the sets."""
    writers = sorted({writer for each in sets for writer in each})
    return {writer: list(_joined(sorted(_ranges(sets, writer)))) for writer in writers}


def covers(whole: EntrySet, part: EntrySet) -> bool:
    """Whether all entries of `part` are in `whole`."""
    return all(
        any(first <= low and high <= last for first, last in whole.get(writer, ()))
        for writer, ranges in part.items()
        for low, high in ranges
    )


def size(entries: EntrySet) -> int:
    """The number of entries."""
    return sum(high - low + 1 for ranges in entries.values() for low, high in ranges)


def _ranges(sets: Sequence[EntrySet], writer: str) -> Iterator[tuple[int, int]]:
    for each in sets:
        yield from ((low, high) for low, high in each.get(writer, ()))


def _joined(ranges: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The ranges, which are in order, with those joined that overlap or follow one another."""
    low, high = ranges[0] if ranges else (0, -1)
    for next_low, next_high in ranges:
        if next_low > high + 1:
            yield low, high
            low = next_low
        high = max(high, next_high)
    if ranges:
        yield low, high
