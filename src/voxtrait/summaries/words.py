"""Shares and seconds in words."""

from __future__ import annotations

from typing import Final

from voxtrait.summaries.shares import Share
from voxtrait.summaries.summary import Summary

__all__ = ["between", "headline", "hours", "included", "interval", "percent"]

#: What no interval can hold.
_CANNOT: Final = (
    "It cannot include recordings unlike all of these, a few voices that speak much and are misheard "
    "throughout, speech that was not found, or that a voice does not tell who somebody is."
)


def percent(value: float | None) -> str:
    """Return a share in percent, with a decimal below 10 %; empty if there is none."""
    if value is None:
        return ""
    return f"{100 * value:.1f} %" if 0.0005 <= value < 0.0995 else f"{100 * value:.0f} %"


def interval(share: Share) -> str:
    """Return an interval, such as "22 to 38 %"; empty if there is none."""
    return between(share.low, share.high)


def between(low: float | None, high: float | None) -> str:
    """Return two ends in percent, such as "22 to 38 %"; empty if there are none."""
    if low is None or high is None:
        return ""
    return f"{percent(low).removesuffix(' %')} to {percent(high)}"


def hours(seconds: float) -> str:
    """Return seconds in hours, below one in minutes."""
    if seconds < 3600:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:,.0f} h" if seconds >= 360_000 else f"{seconds / 3600:.1f} h"


def headline(summary: Summary) -> str:
    """Return the main share in a sentence; empty if the model tells no gender."""
    if summary.gender is None:
        return ""
    share = summary.gender.headline
    held = interval(share)
    return f"Women speak {percent(share.value)} of the time" + (
        f" (95 % interval {held})." if held else " (too little was heard for an interval)."
    )


def included(summary: Summary) -> str:
    """Return what the interval of the headline includes, and what it cannot, in two sentences."""
    if summary.gender is None or summary.gender.headline.low is None:
        return ""
    drawn = (
        "The interval includes what other recordings of this kind would change "
        f"({summary.cluster_count} {summary.clusters} were resampled)"
    )
    conditions = len(summary.known.genders)
    if not conditions:
        return f"{drawn}, but not that the model errs. {_CANNOT}"
    return (
        f"{drawn}, the model's known error and how well it is known, and that it differs between the "
        f"{conditions} conditions in which it was measured. {_CANNOT}"
    )
