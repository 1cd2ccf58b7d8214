"""Results as Markdown: figures of several rounds as their median, with the range they came from."""

import datetime
import statistics
from collections.abc import Sequence
from pathlib import Path


def median(values: Sequence[float]) -> float:
    """The value in the middle."""
    return statistics.median(values)


def median_with_range(values: Sequence[float], digits: int = 0) -> str:
    """For instance "1,234 (1,100 to 1,300)"; the median alone where all are the same, or there is one."""
    texts = [f"{value:,.{digits}f}" for value in (median(values), min(values), max(values))]
    return texts[0] if texts[1] == texts[2] else f"{texts[0]} ({texts[1]} to {texts[2]})"


def median_ratio(values: Sequence[float], others: Sequence[float]) -> float:
    """The median of the rounds' ratios: each compares what was measured in the same minute."""
    return median([value / other for value, other in zip(values, others, strict=True)])


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; all columns but the first are right-aligned."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def write(folder: Path, name: str, title: str, sections: Sequence[str]) -> Path:
    """Writes `name`.md, one blank line between its sections; where it is."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.md"
    date = datetime.datetime.now(datetime.UTC).date()
    path.write_text("\n\n".join([f"# {title}", f"Measured on {date}.", *sections]) + "\n")
    return path
