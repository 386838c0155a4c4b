"""Plots as SVG, drawn without a screen, in the colours of the page that they stand in."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import matplotlib
import numpy as np
import polars as pl
from matplotlib.figure import Figure as Canvas
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import StrMethodFormatter

from voxtrait.evaluation.gender import Point
from voxtrait.evaluation.resampling import Figure

__all__ = [
    "COLOURS",
    "SERIES",
    "age_plot",
    "figure_plot",
    "inline_svg",
    "plain_style",
    "reliability_plot",
    "risk_plot",
    "score_plot",
    "standalone_svg",
]

#: Colours by role, as the light page has them; the dark page replaces each by its own.
COLOURS: Final = {
    "ink": "#1d2530",
    "muted": "#5d6875",
    "grid": "#dde2e8",
    "accent": "#0b7285",
    "female": "#ae3e72",
    "male": "#2f6db3",
    "series-3": "#b35c00",
    "series-4": "#5f3dc4",
    "series-5": "#2b8a3e",
    "series-6": "#8a6d00",
}
#: Colours of runs side by side.
SERIES: Final = tuple(
    COLOURS[name] for name in ("accent", "series-3", "series-4", "female", "series-5", "male", "series-6")
)

#: More points than this are drawn from at random: a page of a million points opens nowhere.
_MOST_POINTS: Final = 2000
_STYLE: Final[dict[Any, Any]] = {
    # Text stays text: it can be read out, searched and scaled.
    "svg.fonttype": "none",
    "svg.hashsalt": "voxtrait",
    # A dollar sign in a name is no formula.
    "text.parse_math": False,
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": COLOURS["muted"],
    "axes.labelcolor": COLOURS["ink"],
    "axes.titlesize": 10,
    "axes.titlecolor": COLOURS["ink"],
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": COLOURS["grid"],
    "grid.linewidth": 0.8,
    "xtick.color": COLOURS["muted"],
    "ytick.color": COLOURS["muted"],
    "text.color": COLOURS["ink"],
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}


@contextmanager
def plain_style() -> Iterator[None]:
    """Draw in the style of the pages, whatever the user's own settings."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield


def standalone_svg(canvas: Canvas) -> str:
    """Return a picture as the text of an SVG file on white."""
    buffer = io.StringIO()
    canvas.savefig(buffer, format="svg", facecolor="white", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def inline_svg(canvas: Canvas, description: str) -> str:
    """Return a picture as an element for an HTML page with the colours as CSS variables.

    Args:
        canvas: drawn under `plain_style`.
        description: for those who do not see it; HTML is escaped.
    """
    buffer = io.StringIO()
    # The salt makes names that no other picture of the page has.
    with matplotlib.rc_context({"svg.hashsalt": description}):
        canvas.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    # Numbered names would be the same in every picture of the page.
    svg = re.sub(r' id="[a-z0-9.]+_\d+"', "", svg)
    for name, colour in COLOURS.items():
        svg = svg.replace(colour, f"var(--{name})")
    safe = description.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    width, height = (72 * inches for inches in canvas.get_size_inches())
    head = f'<svg role="img" aria-label="{safe}" viewBox="0 0 {width:g} {height:g}" class="plot"'
    # Its letters are about as large as the page's, and never too small to read.
    head += f' style="min-width: {0.85 * width:.0f}px; max-width: {1.6 * width:.0f}px"'
    return re.sub(r"<svg[^>]*?(?= xmlns:xlink)", head, svg, count=1)


def _panel(width: float = 4.6, height: float = 3.4) -> tuple[Canvas, Any]:
    canvas = Canvas(figsize=(width, height))
    return canvas, canvas.add_subplot()


def _band(axes: Any, points: Sequence[Point], colour: str, label: str | None = None) -> None:
    """Draw a curve with the band of its intervals."""
    x = [point.x for point in points]
    axes.fill_between(x, [p.low for p in points], [p.high for p in points], color=colour, alpha=0.18, lw=0)
    axes.plot(x, [point.y for point in points], color=colour, marker="o", ms=3.5, lw=1.6, label=label)


def reliability_plot(curves: Mapping[str, Sequence[Point]]) -> Canvas:
    """Draw accuracy over confidence, one panel a curve, beside the diagonal of perfect calibration."""
    canvas = Canvas(figsize=(4.6 if len(curves) == 1 else 3.3 * len(curves), 3.4))
    for place, (name, points) in enumerate(curves.items()):
        axes = canvas.add_subplot(1, len(curves), place + 1)
        axes.plot([0.5, 1], [0.5, 1], color=COLOURS["muted"], ls="--", lw=1)
        sizes = np.array([point.recordings for point in points], np.float64)
        if len(sizes):
            x = [point.x for point in points]
            # How many recordings speak for each point.
            axes.bar(x, 0.2 * sizes / sizes.max(), 0.02, color=COLOURS["muted"], alpha=0.35, bottom=0.0)
            ends = np.array([(p.y - p.low, p.high - p.y) for p in points]).T
            axes.errorbar(x, [p.y for p in points], np.nan_to_num(np.clip(ends, 0, None)), fmt="o",
                          ms=4, lw=1.4, color=SERIES[place % len(SERIES)])  # fmt: skip
        axes.set(xlim=(0.48, 1.02), ylim=(0, 1.03), xlabel="confidence", title=name)
        if place == 0:
            axes.set_ylabel("share that is right")
    return canvas


def risk_plot(curves: Mapping[str, Sequence[Point]], marks: Mapping[str, tuple[float, float]]) -> Canvas:
    """Draw the share of wrong answers over the share answered, with each bundle's own working point."""
    canvas, axes = _panel()
    for place, (name, points) in enumerate(curves.items()):
        colour = SERIES[place % len(SERIES)]
        _band(axes, [_in_percent(point) for point in points], colour, name)
        if name in marks:
            decided, wrong = marks[name]
            axes.plot(decided * 100, wrong * 100, "D", ms=8, mfc="none", mec=colour, mew=1.8)
    axes.set(xlabel="answered, surest first (%)", ylabel="wrong among them (%)", xlim=(0, 102))
    axes.set_ylim(bottom=0)
    if len(curves) > 1:
        axes.legend(fontsize=8, labelcolor=COLOURS["ink"])
    return canvas


def _in_percent(point: Point) -> Point:
    return Point(point.x * 100, point.y * 100, point.low * 100, point.high * 100, point.recordings)


def score_plot(table: pl.DataFrame) -> Canvas:
    """Draw how the probability of female is spread among women and men; ``table`` is `gender_answered`."""
    canvas, axes = _panel()
    bins = np.linspace(0, 1, 41)
    for name in ("female", "male"):
        scores = table.filter(pl.col("gender") == name)["female"].to_numpy()
        axes.hist(scores, bins=bins, color=COLOURS[name], alpha=0.55, label=f"labelled {name}")
    axes.set(xlabel="probability of female", ylabel="recordings", xlim=(0, 1), yscale="symlog")
    # The scale's own labels are formulas, which this style does not draw.
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.set_ylim(bottom=0)
    axes.legend(loc="upper center", fontsize=8, labelcolor=COLOURS["ink"])
    return canvas


def age_plot(table: pl.DataFrame) -> Canvas:
    """Draw the answered over the true age; ``table`` is `age_answered`; a band is spread over its years."""
    canvas, axes = _panel()
    if table.height > _MOST_POINTS:
        table = table.sample(_MOST_POINTS, seed=0)
    low, high, years = (
        table[name].to_numpy().astype(np.float64) for name in ("age_low", "age_high", "years")
    )
    rng = np.random.default_rng(0)
    true = low + rng.random(len(low)) * np.where(high > low, high + 1 - low, 0)
    genders = table["gender"].fill_null("other").to_numpy()
    top = float(max(true.max(), years.max())) * 1.05
    axes.plot([0, top], [0, top], color=COLOURS["muted"], ls="--", lw=1)
    for name, colour in (("female", "female"), ("male", "male"), ("other", "series-6")):
        chosen = genders == name
        if chosen.any():
            axes.plot(true[chosen], years[chosen], "o", ms=3.5, mew=0, alpha=0.55, color=COLOURS[colour],
                      label=name)  # fmt: skip
    axes.set(xlabel="true age (years)", ylabel="answered age (years)", xlim=(0, top), ylim=(0, top))
    axes.legend(loc="upper left", fontsize=8, labelcolor=COLOURS["ink"])
    return canvas


def figure_plot(figures: Mapping[str, Mapping[str, Figure]]) -> Canvas:
    """Draw figures of several runs, one panel a figure: figure -> run -> value and interval."""
    runs = list(dict.fromkeys(run for values in figures.values() for run in values))
    columns = min(4, max(1, len(figures)))
    rows = -(-len(figures) // columns)
    canvas = Canvas(figsize=(2.6 * columns + 1.2, rows * (1.1 + 0.32 * len(runs))))
    canvas.set_layout_engine(ConstrainedLayoutEngine(h_pad=0.12))
    for place, (name, values) in enumerate(figures.items()):
        axes = canvas.add_subplot(rows, columns, place + 1)
        for number, run in enumerate(runs):
            if run in values:
                _bar(axes, len(runs) - 1 - number, values[run], SERIES[number % len(SERIES)])
        axes.set(title=name, ylim=(-0.6, len(runs) - 0.4))
        axes.set_yticks(range(len(runs)), [_short(run) for run in reversed(runs)])
        if place % columns:
            axes.tick_params(labelleft=False)
        axes.grid(visible=False, axis="y")
    return canvas


def _bar(axes: Any, height: float, figure: Figure, colour: str) -> None:
    if np.isfinite(figure.low):
        axes.plot([figure.low, figure.high], [height, height], color=colour, lw=2.2, solid_capstyle="butt")
    axes.plot(figure.value, height, "o", ms=5, color=colour)


def _short(name: str, longest: int = 26) -> str:
    return name if len(name) <= longest else f"…{name[1 - longest :]}"
