"""`POST /v1/predict`: a recording in, its answer out."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.requests import ClientDisconnect

from voxtrait.engine import Item, Wish
from voxtrait.exports import get_writer
from voxtrait.results import Prediction
from voxtrait.service.documents import FormatParameter, document
from voxtrait.service.keys import wants_key
from voxtrait.service.lanes import Lane
from voxtrait.service.problems import PROBLEMS, audio_refusal
from voxtrait.service.schemas import PREDICTION, PredictionBody
from voxtrait.service.settings import PREDICT_SECONDS
from voxtrait.service.uploads import BODY, Upload, receive_upload
from voxtrait.service.wishes import NameParameter, WishParameters

__all__ = ["router"]

router = APIRouter(prefix="/v1", tags=["predict"], dependencies=[wants_key], responses=PROBLEMS)


@router.post(
    "/predict",
    summary="Gender and age in a recording",
    response_model=PredictionBody,
    responses={200: PREDICTION},
    openapi_extra=BODY,
)
async def predict(
    request: Request, wish: WishParameters, form: FormatParameter = "json", name: NameParameter = None
) -> Response:
    """Tell gender and age of who speaks in a recording of up to 15 minutes; longer ones are jobs.

    The recording is the part `file` of a form, or the whole body, in any format that can be decoded. Forms of
    an answer that show a timeline add it.
    """
    house = request.app.state.voxtrait
    if get_writer(form).needs_timeline:
        wish = replace(wish, segments=True, speakers=True)
    limit = min(PREDICT_SECONDS, house.settings.max_duration)
    with house.admission.place():
        upload = await receive_upload(request, name, house.settings.max_upload)
        answer = await _hear(request, upload, replace(wish, longest=limit))
    house.metrics.count("predict", answer)
    error = answer["error"]
    if error is not None:
        hint = " Send it to /v1/jobs." if error["code"] == "too_long" and limit == PREDICT_SECONDS else ""
        raise audio_refusal(error["code"], error["message"] + hint)
    return document(Prediction.from_dict(answer), form)


async def _hear(request: Request, upload: Upload, wish: Wish) -> dict[str, Any]:
    """Hear a recording for as long as somebody waits for the answer."""
    lane: Lane = request.app.state.voxtrait.predict
    item = Item(upload.name, size=upload.size, content=upload.content, file=upload.file, wish=wish)
    hearing = asyncio.ensure_future(lane.hear(item))
    leaving = asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait({hearing, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not hearing.done():
            raise ClientDisconnect
        return hearing.result()
    finally:
        hearing.cancel()
        leaving.cancel()


async def _left(request: Request) -> None:
    """Wait until the client goes away."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
