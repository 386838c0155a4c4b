"""Bundles to the Hugging Face hub, where anybody loads them by name; needs the extra ``hub``."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Final

from voxtrait.bundle.card import Card
from voxtrait.bundle.readme import card_body
from voxtrait.bundle.store import load_bundle, save_bundle
from voxtrait.errors import BundleError, UsageError, VoxtraitError, require

__all__ = ["Publication", "hub_page", "publish_bundle"]

#: Licences by the hub's own identifiers; it refuses a page with any other.
# fmt: off
_HUB_LICENCES: Final = frozenset({
    "afl-3.0", "agpl-3.0", "apache-2.0", "artistic-2.0", "bsd-2-clause", "bsd-3-clause",
    "bsd-3-clause-clear", "bsl-1.0", "c-uda", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0",
    "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0",
    "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "cc-by-nd-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc0-1.0",
    "cdla-permissive-1.0", "cdla-permissive-2.0", "cdla-sharing-1.0", "ecl-2.0", "epl-1.0", "epl-2.0",
    "etalab-2.0", "eupl-1.1", "eupl-1.2", "gpl-2.0", "gpl-3.0", "isc", "lgpl-2.1", "lgpl-3.0", "lppl-1.3c",
    "mit", "mpl-2.0", "ms-pl", "ncsa", "ofl-1.1", "openmdw-1.0", "osl-3.0", "postgresql", "unlicense",
    "wtfpl", "zlib",
})
# fmt: on

#: What the hub takes as org/name, without what loads as something else.
_PART: Final = r"\w(?:[\w.-]{0,94}\w)?"
_NAME: Final = re.compile(rf"(?!.*(?:--|\.\.|\.git\Z|\.zip\Z)){_PART}/{_PART}", re.ASCII)

#: Bases of the client's errors for a hub out of reach; their modules differ by its version.
_UNREACHABLE: Final = frozenset({"ConnectionError", "Timeout", "TransportError"})

_LOGIN: Final = "log in with `hf auth login`, or set HF_TOKEN to a token that may write"


@dataclass(frozen=True)
class Publication:
    """Where a published bundle stands.

    Attributes:
        name: "org/name", by which it loads.
        revision: its commit; "name@revision" loads this very version for ever.
        address: of its page.
    """

    name: str
    revision: str
    address: str


def publish_bundle(where: str | os.PathLike[str], name: str, *, private: bool = False) -> Publication:
    """Put a bundle on the Hugging Face hub, with its model card as the page, and return where it stands.

    The repository is created if need be, and card, model and page arrive in one commit: whoever loads
    the name gets the old bundle or the new one. Other files of the repository stay; equal content makes
    no commit. The token is the one of ``hf auth login`` or of HF_TOKEN.

    Args:
        where: a bundle as for :func:`voxtrait.bundle.load_bundle`, which verifies it first.
        name: "org/name".
        private: create the repository for its members alone; else it is public, or what the
            organisation's settings say. An existing one stays as it is.

    Raises:
        UsageError: ``usage`` if the name is none of the hub.
        BundleError: as :func:`voxtrait.bundle.load_bundle`; ``publish`` if the hub is out of reach or
            refuses, if there is no token, or if the repository is public and ``private`` was asked.
        MissingExtraError: without huggingface_hub.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            "usage",
            f"{name!a} is no name on the Hugging Face hub: give org/name, each of letters, digits, '-', '_' "
            "and '.', without a revision.",
        )
    hub = require("huggingface_hub", "hub")
    bundle = load_bundle(where)
    with tempfile.TemporaryDirectory(prefix="voxtrait-") as stage:
        folder = Path(stage) / "bundle"
        save_bundle(folder, bundle.card, bundle.model, {"README.md": hub_page(bundle.card)})
        try:
            return _commit(hub, folder, name, private, bundle.title)
        except VoxtraitError:
            raise
        # The client raises errors of several HTTP libraries, by its version.
        except Exception as error:
            raise BundleError("publish", _explain(error, name)) from error


def hub_page(card: Card) -> str:
    """Return the README.md of a bundle on the hub: the metadata that the hub reads, and the model card."""
    tells = {"speaker-age": card.age, "gender": card.gender}
    tags = ["voxtrait", "audio-classification", *(tag for tag, section in tells.items() if section)]
    lines = [
        *_licence(card.licence),
        "library_name: voxtrait",
        "pipeline_tag: audio-classification",
        "tags:",
        *(f"- {tag}" for tag in tags),
    ]
    return "\n".join(["---", *lines, "---", "", card_body(card)])


def _licence(licence: str) -> list[str]:
    known = licence.lower()
    if known in _HUB_LICENCES:
        return [f"license: {known}"]
    name = re.sub(r"[^a-z0-9.]+", "-", known).strip("-.") or "see-model-card"
    # Quoted: "1.0" or "no" would not be text in YAML.
    return ["license: other", f'license_name: "{name}"']


def _commit(hub: ModuleType, folder: Path, name: str, private: bool, title: str) -> Publication:
    token = hub.get_token()
    # The client would print a token that no header can carry.
    if token is None or not re.fullmatch("[!-~]+", token):
        raise BundleError("publish", f"The Hugging Face hub must know who publishes: {_LOGIN}.")
    api = hub.HfApi(token=token)
    # None, not False: False would make the repository public against the organisation's settings.
    api.create_repo(name, private=private or None, exist_ok=True)
    repo = api.repo_info(name)
    if private and not repo.private:
        raise BundleError(
            "publish",
            f"{name} is on the Hugging Face hub already, and public: make it private in its settings there, "
            "or publish without --private.",
        )
    files = [hub.CommitOperationAdd(path.name, path) for path in sorted(folder.iterdir())]
    # With the parent, a commit that another one has overtaken is refused: unchanged files are not sent
    # again, and a card must never meet the model of somebody else.
    done = api.create_commit(name, files, commit_message=title, parent_commit=repo.sha)
    return Publication(name, done.oid, str(done.repo_url))


def _explain(error: Exception, name: str) -> str:
    causes = list(_causes(error))
    responses = [found for cause in causes if (found := getattr(cause, "response", None)) is not None]
    status = responses[0].status_code if responses else None
    said = next(filter(None, (getattr(cause, "server_message", None) for cause in causes)), str(causes[-1]))
    # ascii(): what a hub says goes to terminals.
    reason = ascii(" ".join(said.split()))[1:-1][:200] or type(error).__name__
    if status == 401:
        return f"The Hugging Face hub does not accept the token: {_LOGIN}."
    if status == 403:
        return (
            f"The Hugging Face hub does not let you write to {name} ({reason}): use a token that may write, "
            f"of somebody who may publish for {name.partition('/')[0]}."
        )
    kinds = {kind.__name__ for cause in causes for kind in type(cause).__mro__}
    if status is None and kinds & _UNREACHABLE:
        return f"Cannot reach the Hugging Face hub ({reason}): look after the network, then publish again."
    return f"The Hugging Face hub did not take {name} ({reason})."


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
