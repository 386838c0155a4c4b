"""The fields of a recipe, read off its models: for people who write one."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from voxtrait.systems import System
from voxtrait.training.recipe import merged
from voxtrait.training.sections import Recipe

__all__ = ["RecipeField", "recipe_fields"]


@dataclass(frozen=True)
class RecipeField:
    """One field of a recipe.

    Attributes:
        key: as ``--set`` takes it.
        default: what a recipe that leaves it out gets; empty if it must be given.
        allowed: its type and limits, in words.
        about: what it means.
    """

    key: str
    default: str
    allowed: str
    about: str


def recipe_fields(system: System) -> list[RecipeField]:
    """Return all fields of a recipe for ``system``, with its published settings as defaults."""
    return [*_walk("", Recipe, system.defaults, system.settings)]


def _walk(
    prefix: str, model: type[BaseModel], given: Mapping[str, Any], settings: type[BaseModel]
) -> Iterator[RecipeField]:
    for name, info in model.model_fields.items():
        key = f"{prefix}{name}"
        section = settings if key == "network" else info.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            yield from _walk(f"{key}.", section, given.get(name, {}), settings)
        elif key != "system":
            yield RecipeField(key, _default(name, info, given), _allowed(info), info.description or "")


def _default(name: str, info: FieldInfo, given: Mapping[str, Any]) -> str:
    if name not in given and info.is_required():
        return ""
    value = given.get(name, info.get_default(call_default_factory=True, validated_data={}))
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {item}" for key, item in merged(value, {}).items())
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(map(str, value)) + "]"
    return "null" if value is None else str(value)


def _allowed(info: FieldInfo) -> str:
    limits = {">=": "ge", ">": "gt", "<=": "le", "<": "lt"}
    found = [
        f"{sign} {getattr(rule, name):g}"
        for rule in info.metadata
        for sign, name in limits.items()
        if isinstance(getattr(rule, name, None), (int, float))
    ]
    return " ".join([_type(info.annotation), ", ".join(found)]).strip()


def _type(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(arguments[0])
    if origin is Literal:
        return " | ".join(map(str, arguments))
    if origin in (Union, types.UnionType):
        return " | ".join("null" if part is type(None) else _type(part) for part in arguments)
    if origin is tuple:
        return "list of " + _type(arguments[0])
    if origin is dict:
        return "mapping"
    names = {int: "whole number", float: "number", str: "text", bool: "true | false"}
    return names.get(annotation) or str(getattr(annotation, "__name__", "text"))
