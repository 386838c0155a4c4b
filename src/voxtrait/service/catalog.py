"""The models that a service answers with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from voxtrait.bundle import ModelBundle, load_bundle
from voxtrait.errors import BundleError, UsageError

__all__ = ["Catalog", "ModelInfo", "ModelList"]


class ModelInfo(BaseModel):
    """A model: ``name`` or ``title`` is what requests call it by."""

    model_config = ConfigDict(protected_namespaces=())

    name: str
    title: str
    version: str
    licence: str
    description: str
    default: bool
    tasks: list[str]
    window: float
    size: int
    card: dict[str, Any]


class ModelList(BaseModel):
    """All models of a service."""

    models: list[ModelInfo]


class Catalog:
    """The bundles of a service; the first is the default.

    Raises:
        BundleError: if one of them cannot be used.
        UsageError: ``usage`` if two have one title.
    """

    def __init__(self, models: Sequence[str]) -> None:
        self.bundles: tuple[ModelBundle, ...] = tuple(load_bundle(model) for model in models)
        titles = [bundle.title for bundle in self.bundles]
        if len(set(titles)) < len(titles):
            twice = next(title for title in titles if titles.count(title) > 1)
            raise UsageError("usage", f"There are two models with the title {twice!a}: give one of them.")

    def find(self, name: str | None) -> ModelBundle:
        """Return the bundle of a title or a name; the default for none.

        Raises:
            BundleError: ``bundle_not_found``.
        """
        if not name:
            return self.bundles[0]
        for bundle in self.bundles:
            if name in (bundle.title, bundle.card.name):
                return bundle
        known = ", ".join(bundle.title for bundle in self.bundles)
        raise BundleError("bundle_not_found", f"This service has no model {name[:80]!a}: it has {known}.")

    def infos(self) -> ModelList:
        """Describe all models."""
        return ModelList(models=[self._info(bundle) for bundle in self.bundles])

    def _info(self, bundle: ModelBundle) -> ModelInfo:
        card = bundle.card
        tasks = [name for name in ("gender", "age") if getattr(card, name) is not None]
        return ModelInfo(
            name=card.name,
            title=bundle.title,
            version=card.version,
            licence=card.licence,
            description=card.description,
            default=bundle is self.bundles[0],
            tasks=tasks,
            window=card.window,
            size=len(bundle.model),
            card=card.model_dump(mode="json"),
        )
