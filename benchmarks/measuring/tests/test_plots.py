import importlib.util
from pathlib import Path

import pytest

from benchmarks.measuring import plots
from suite.errors import SuiteError

_needs_matplotlib = pytest.mark.skipif(
    importlib.util.find_spec("matplotlib") is None, reason="matplotlib is not installed"
)


def test_who_has_no_matplotlib_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SuiteError, match="pip install"):
        plots.check_installed()


@_needs_matplotlib
def test_lines_are_drawn_in_panels_with_their_names(tmp_path: Path) -> None:
    panels = {"500 fruits": {"alone": [(8, 2.0), (32, 2.0)]}, "5 fruits": {"together": [(8, 1.0), (32, 0.5)]}}
    plots.draw_lines(tmp_path / "a.svg", panels, x="writers", y="calls", x_scale="log", y_scale="log")
    drawn = (tmp_path / "a.svg").read_text()
    assert all(
        f"<!-- {text} -->" in drawn for text in ("500 fruits", "5 fruits", "alone", "together", "writers")
    )


@_needs_matplotlib
def test_pairs_are_drawn_in_panels_with_their_figures(tmp_path: Path) -> None:
    panels = {
        "lost": {"retry": [0, 1234], "basic": [0, 7]},
        "a second": {"retry": [36, 81], "basic": [42, 72]},
    }
    plots.draw_pairs(tmp_path / "a.svg", panels, ["with", "without"])
    drawn = (tmp_path / "a.svg").read_text()
    texts = ("lost", "a second", "retry", "basic", "with", "without", "1,234", "81")
    assert all(f"<!-- {text} -->" in drawn for text in texts)


@_needs_matplotlib
def test_the_same_figures_give_the_same_file(tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg"):
        plots.draw_bars(tmp_path / name, "ratios", {"GET": 3.5, "PUT": 2.5}, x="peer = 1")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
