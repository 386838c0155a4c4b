"""The bytes of a ``card.json`` to a :class:`Card`, or to one sentence that says what is wrong with them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from voxtrait.bundle.card import SCHEMA_VERSION, Card
from voxtrait.errors import BundleError

__all__ = ["parse_card"]


def parse_card(raw: bytes, where: str) -> Card:
    """Return the card that the bytes of a ``card.json`` hold; ``where`` names it in messages.

    Raises:
        BundleError: ``bundle_schema`` if the bytes are not JSON, hold NaN, infinity or a key twice,
            come from a newer voxtrait, or break a rule of the card.
    """
    try:
        data = json.loads(raw.decode(), parse_constant=_no_constant, object_pairs_hook=_unique_keys)
    except (ValueError, RecursionError) as error:
        raise BundleError("bundle_schema", f"{where}: card.json is not valid JSON ({error}).") from error
    version = data.get("schema_version") if isinstance(data, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise BundleError(
            "bundle_schema",
            f"{where}: card.json has the schema version {str(version)[:9]}, which a newer voxtrait wrote; "
            "upgrade with: pip install -U voxtrait",
        )
    if isinstance(data, dict) and version is None:
        raise BundleError("bundle_schema", f"{where}: card.json has no schema_version; it must be 1.")
    try:
        return Card.model_validate_json(raw, strict=True)
    except ValidationError as error:
        raise BundleError("bundle_schema", f"{where}: {_explain(error.errors(include_url=False))}") from error


def _explain(problems: Sequence[ErrorDetails]) -> str:
    first = problems[0]
    # ascii(): keys and values are a stranger's, and go to terminals.
    field = ".".join(ascii(str(part))[1:-1][:60] for part in first["loc"])
    text = f"card.json, {field}: " if field else "card.json: "
    if first["type"] == "extra_forbidden":
        text += "there is no such key in a card"
    else:
        text += first["msg"].removeprefix("Value error, ")
        if not isinstance(first["input"], dict | list):
            text += f", not {ascii(first['input'])[:60]}"
    more = len(problems) - 1
    return f"{text} (and {more} more)." if more else f"{text}."


def _no_constant(word: str) -> float:
    raise ValueError(f"{word} is not a number that a card may hold")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return names
