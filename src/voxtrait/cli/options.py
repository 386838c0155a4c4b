"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["ChannelOption", "ModelOption", "SegmentsOption", "SpeakersOption"]

ModelOption = Annotated[
    str,
    typer.Option(
        "--model", metavar="BUNDLE", help="A shipped name, a folder, a zip, or org/name on the hub."
    ),
]
SegmentsOption = Annotated[bool, typer.Option("--segments", help="Add the timeline: who speaks when.")]
SpeakersOption = Annotated[
    bool, typer.Option("--speakers", help="Add the voices of each file, with their speaking time.")
]
ChannelOption = Annotated[
    int | None,
    typer.Option(
        "--channel", min=1, metavar="N", help="Hear only this channel, from 1; by default all, mixed."
    ),
]
