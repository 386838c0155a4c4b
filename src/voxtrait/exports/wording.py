"""Numbers and names as people read them."""

from __future__ import annotations

from collections.abc import Collection

from voxtrait.results import AgeEstimate, GenderEstimate

__all__ = [
    "age_words",
    "clock",
    "gender_words",
    "name_bytes",
    "percent",
    "percent_encoded",
    "printable",
    "unicode_only",
]


def unicode_only(text: str) -> str:
    r"""Write the bytes of a file name that are not UTF-8 as ``\udcXX``, which JSON reads back."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def printable(text: str) -> str:
    """Escape what is not a printable character: on a terminal a file name could be a command."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def percent_encoded(text: str, special: Collection[str]) -> str:
    """Write ``%``, ``special`` and unprintable characters as in addresses: their bytes in hexadecimal digits.

    ``urllib.parse.unquote(..., errors="surrogateescape")`` returns the name of any file as it was.
    """
    return "".join(
        c if c.isprintable() and c != "%" and c not in special else f"%{name_bytes(c).hex('%').upper()}"
        for c in text
    )


def name_bytes(text: str) -> bytes:
    """Return the bytes of a file name; that of half a surrogate pair which is no byte is its own UTF-8."""
    return b"".join(
        c.encode("utf-8", "surrogateescape" if "\udc80" <= c <= "\udcff" else "surrogatepass") for c in text
    )


def clock(seconds: float) -> str:
    """Return seconds as ``m:ss.s``, from an hour on as ``h:mm:ss.s``."""
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    if minutes < 60:
        return f"{minutes}:{rest / 10:04.1f}"
    return f"{minutes // 60}:{minutes % 60:02}:{rest / 10:04.1f}"


def percent(probability: float) -> str:
    """Return a probability in percent; only certainty is 100 %."""
    if 0.995 <= probability < 1:
        return ">99 %"
    return f"{probability * 100:.0f} %"


def gender_words(gender: GenderEstimate) -> str:
    """Return label and probability, such as ``female 98 %``; of an unsure one the likelier label's."""
    surest = percent(max(gender.female, gender.male))
    if gender.label != "unsure":
        return f"{gender.label} {surest}"
    return f"unsure ({'f' if gender.female >= gender.male else 'm'} {surest})"


def age_words(age: AgeEstimate) -> str:
    """Return years and interval, such as ``34 (26–45)``."""
    if age.group == "unsure":
        return "unsure"
    return f"{age.years:.0f} ({age.low:.0f}–{age.high:.0f})"
