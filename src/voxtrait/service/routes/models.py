"""What the service has: its models, and itself."""

from __future__ import annotations

from fastapi import APIRouter, Request
from pydantic import BaseModel

from voxtrait import __version__
from voxtrait.exports import EXPORTS
from voxtrait.service.catalog import ModelList
from voxtrait.service.keys import wants_key
from voxtrait.service.problems import PROBLEMS
from voxtrait.service.settings import PREDICT_SECONDS

__all__ = ["router"]

router = APIRouter(prefix="/v1", tags=["models"])


class FormatInfo(BaseModel):
    """A form that answers can have."""

    name: str
    suffix: str
    media_type: str
    needs_timeline: bool


class ServerInfo(BaseModel):
    """What a client must know; lengths in seconds, sizes in bytes."""

    version: str
    max_upload: int
    max_duration: float
    predict_duration: float
    key_required: bool
    formats: list[FormatInfo]


@router.get("/models", summary="The models", dependencies=[wants_key], responses={401: PROBLEMS[401]})
async def models(request: Request) -> ModelList:
    """Describe the models that answer here, with their cards: origin, figures and limits."""
    infos: ModelList = request.app.state.voxtrait.catalog.infos()
    return infos


@router.get("/server", summary="Limits and formats")
async def server(request: Request) -> ServerInfo:
    """Describe the service; asks for no key."""
    house = request.app.state.voxtrait
    settings = house.settings
    return ServerInfo(
        version=__version__,
        max_upload=settings.max_upload,
        max_duration=settings.max_duration,
        predict_duration=min(PREDICT_SECONDS, settings.max_duration),
        key_required=house.keys.wanted,
        formats=[
            FormatInfo(
                name=name,
                suffix=writer.suffix,
                media_type=writer.media_type,
                needs_timeline=writer.needs_timeline,
            )
            for name, writer in EXPORTS.items()
        ],
    )
