"""Counts and shares as text."""


def count(value: float) -> str:
    """Format a number as an integer with thousands separators."""
    return f"{value:,.0f}"


def share(part: float, whole: float) -> str:
    """Format a share as a percentage.

    A positive share below 0.1% becomes `<0.1%`, one between 99.9% and 100% becomes `>99.9%`. Without a whole, the
    result is a dash.
    """
    if whole <= 0:
        return "–"
    value = part / whole
    if 0 < value < 0.001:
        return "<0.1%"
    return ">99.9%" if 0.999 < value < 1 else f"{value:.1%}"
