"""What a request asks for: the options that `predict` and jobs share."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query, Request

from voxtrait.engine import Wish

__all__ = ["NameParameter", "WishParameters"]

NameParameter = Annotated[
    str | None,
    Query(description="What to call the recording in its answer; of an upload, instead of its file name."),
]


async def _wish(
    request: Request,
    segments: Annotated[bool, Query(description="Add the timeline.")] = False,
    speakers: Annotated[bool, Query(description="Add one row a voice.")] = False,
    model: Annotated[str | None, Query(description="Name or title of one of /v1/models.")] = None,
    channel: Annotated[
        int | None, Query(ge=1, le=64, description="Hear this channel alone, counted from 1.")
    ] = None,
) -> Wish:
    bundle = request.app.state.voxtrait.catalog.find(model)
    return Wish(segments, speakers, channel, bundle.title)


#: The options of a request; its length is not yet limited.
WishParameters = Annotated[Wish, Depends(_wish)]
