"""Plots as SVG. matplotlib is imported only here, and only when there is something to draw."""

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from suite.errors import SuiteError

_SIZE_INCHES = (7.5, 4.2)

Line = Sequence[tuple[float, float]]


def check_installed() -> None:
    """Makes sure, before a long run, that its end can be drawn.

    Raises:
        SuiteError: matplotlib is not there.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise SuiteError(
            "The plots need matplotlib: .venv/bin/pip install --no-deps -r benchmarks/requirements.txt"
        )


def draw_lines(
    path: Path,
    panels: Mapping[str, Mapping[str, Line]],
    *,
    x: str,
    y: str,
    x_scale: str = "linear",
    y_scale: str = "linear",
) -> None:
    """One panel beside the other, each with its lines of (x, y) points by name."""
    figure, axes = _figure(len(panels))
    for axis, (title, lines) in zip(axes, panels.items(), strict=True):
        for name, points in lines.items():
            marker = "o" if len(points) < 20 else None
            axis.plot([x for x, _ in points], [y for _, y in points], marker=marker, label=name)
        if x_scale == "log":
            axis.set_xscale("log")
            ticks = sorted({x for points in lines.values() for x, _ in points})
            axis.set_xticks(ticks, [f"{tick:,.0f}" for tick in ticks])
            axis.minorticks_off()
        axis.set(title=title, xlabel=x, ylabel=y, yscale=y_scale)
        if y_scale == "linear":
            axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
        axis.legend(fontsize="small")
    _save(figure, path)


def draw_bars(path: Path, title: str, bars: Mapping[str, float], *, x: str) -> None:
    """Horizontal bars by name, the first on top, with a line at 1."""
    figure, (axis,) = _figure(1)
    names = list(bars)[::-1]
    drawn = axis.barh(names, [bars[name] for name in names])
    axis.bar_label(drawn, fmt="%.1f", padding=3)
    axis.axvline(1, color="black", linewidth=0.8)
    axis.margins(x=0.12)
    axis.set(title=title, xlabel=x)
    _save(figure, path)


def draw_pairs(path: Path, panels: Mapping[str, Mapping[str, Sequence[float]]], names: Sequence[str]) -> None:
    """One panel beside the other, each with a group of bars for each key: the first of `names` on top."""
    figure, axes = _figure(len(panels))
    height = 0.8 / len(names)
    for axis, (title, groups) in zip(axes, panels.items(), strict=True):
        for number, name in enumerate(names):
            places = [place + number * height for place in range(len(groups))]
            drawn = axis.barh(places, [values[number] for values in groups.values()], height, label=name)
            axis.bar_label(drawn, fmt="{:,.0f}", padding=3)
        axis.set_yticks([place + 0.4 - height / 2 for place in range(len(groups))], list(groups))
        axis.invert_yaxis()
        axis.margins(x=0.15)
        axis.set(title=title)
    axes[0].legend(fontsize="small")
    _save(figure, path)


def _figure(panels: int) -> tuple[Any, list[Any]]:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams["svg.hashsalt"] = "benchmarks"  # so that the same figures give the same file
    figure = Figure(figsize=(_SIZE_INCHES[0] * panels, _SIZE_INCHES[1]), layout="constrained")
    axes = figure.subplots(1, panels, squeeze=False)
    return figure, list(axes[0])


def _save(figure: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
