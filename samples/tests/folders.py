"""Where the samples are."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "samples"


def sample_folders() -> list[Path]:
    """The folder of each sample, found by its service.py."""
    return sorted(path.parent for path in SAMPLES.rglob("service.py"))


def name_of(path: Path) -> str:
    """A sample's or a file's name in what a test run shows."""
    return str(path.relative_to(SAMPLES))
