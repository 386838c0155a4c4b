"""Figures as people read them."""

from __future__ import annotations

import math
from typing import Final

from voxtrait.evaluation.resampling import Figure

__all__ = ["baseline_words", "figure_words", "interval_words", "shown"]

_YEARS: Final = ("age MAE", "age MAE outside the band", "age interval width")
_PLAIN: Final = (
    "gender ECE",
    "age MAE ratio",
    "age correlation",
    "age CCC",
    "age CCC to the middle",
)


def shown(name: str, value: float | None, *, signed: bool = False) -> str:
    """Return the value of the figure ``name``: shares in percent, errors in years; "–" if there is none.

    With ``signed`` it is a difference, of shares in percentage points.
    """
    if value is None or not math.isfinite(value):
        return "–"
    if name in _YEARS:
        return f"{_number(value, 1, signed)} y"
    if name in _PLAIN:
        return _number(value, 3, signed)
    return f"{_number(value * 100, 1, signed)} {'pp' if signed else '%'}"


def _number(value: float, digits: int, signed: bool) -> str:
    text = f"{value:{'+' if signed else ''}.{digits}f}"
    # Neither +0.0 nor -0.0 says anything.
    return text if float(text) else text.lstrip("+-")


def interval_words(figure: Figure, *, signed: bool = False) -> str:
    """Return the 95 % interval, empty if there is none."""
    if not math.isfinite(figure.low):
        return ""
    low, high = (shown(figure.name, end, signed=signed) for end in (figure.low, figure.high))
    return f"{low.partition(' ')[0]} to {high}"


def figure_words(figure: Figure, *, signed: bool = False) -> str:
    """Return value and interval in one, as ``93.4 % (91.0 to 95.2 %)``."""
    ends = interval_words(figure, signed=signed)
    return shown(figure.name, figure.value, signed=signed) + (f" ({ends})" if ends else "")


def baseline_words(figure: Figure) -> str:
    """Return what the constant predictor reaches, empty where that means nothing."""
    return "" if figure.baseline is None else shown(figure.name, figure.baseline)
