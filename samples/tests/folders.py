"""Where the samples are."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "samples"


def sample_folders() -> list[Path]:
    """The folder of each sample, found by its service.py."""
    return sorted(path.parent for path in SAMPLES.rglob("service.py"))


def name_of(path: Path) -> str:
    """The name of a sample or of a file, as the output of tests shows it."""
    return str(path.relative_to(SAMPLES))
