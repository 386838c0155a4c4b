"""``voxtrait publish``: a bundle to the Hugging Face hub."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from voxtrait.cli.messages import say
from voxtrait.cli.output import open_output, writing_to

__all__ = ["publish"]


def publish(
    bundle: Annotated[
        str, typer.Argument(metavar="BUNDLE", help="A folder, a zip, or any other name that loads.")
    ],
    name: Annotated[str, typer.Argument(metavar="ORG/NAME", help="Where on the hub; created if need be.")],
    private: Annotated[
        bool, typer.Option("--private", help="Create it for you and your organisation alone.")
    ] = False,
) -> int:
    """Put a model on the Hugging Face hub, to load by ORG/NAME. Needs pip install 'voxtrait[hub]'.

    Log in first with hf auth login, or set HF_TOKEN. The model card becomes its page. Prints the name.

    \b
    Example:
      voxtrait publish runs/base/bundle my-org/voices
      voxtrait publish runs/base/bundle my-org/voices --private
    """
    from voxtrait.bundle import publish_bundle

    if sys.stderr is None or not sys.stderr.isatty():
        # The client reads it when it is imported; its bars are for people who watch.
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    published = publish_bundle(bundle, name, private=private)
    say(f"Published at {published.address}; this version for ever: {published.name}@{published.revision}")
    with open_output(None) as stream, writing_to(None):
        stream.write(f"{published.name}\n")
    return 0
