"""`POST /v1/convert`: an answer in another form."""

from __future__ import annotations

from typing import Any, Final

import anyio
import anyio.to_thread
from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import ValidationError

from voxtrait.exports.reading import check_result
from voxtrait.results import Prediction
from voxtrait.service.documents import FormatParameter, document
from voxtrait.service.keys import wants_key
from voxtrait.service.problems import PROBLEMS, Refusal, first_fault
from voxtrait.service.schemas import PredictionBody
from voxtrait.service.settings import MIB
from voxtrait.service.uploads import Upload, receive_upload

__all__ = ["router"]

router = APIRouter(prefix="/v1", tags=["predict"], dependencies=[wants_key], responses=PROBLEMS)

#: Bytes of an answer: the timeline of a day. In memory it takes ten times as much.
_MOST: Final = 8 * MIB
#: So there is one at once; the others wait on disk.
_converting = anyio.CapacityLimiter(1)

_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/PredictionBody"}}},
    }
}


@router.post("/convert", summary="An answer in another form", response_class=Response, openapi_extra=_BODY)
async def convert(request: Request, form: FormatParameter) -> Response:
    """Write an answer of this service in another form, such as RTTM, TextGrid or CSV."""
    with request.app.state.voxtrait.admission.place():
        answer = await receive_upload(request, None, _MOST)
        try:
            return await anyio.to_thread.run_sync(_convert, answer, form, limiter=_converting)
        finally:
            answer.close()


def _convert(answer: Upload, form: str) -> Response:
    prediction = _read(answer)
    if prediction.status == "error":
        raise Refusal(409, "no_answer", f"{prediction.file} could not be heard: there is nothing to convert.")
    return document(prediction, form)


def _read(answer: Upload) -> Prediction:
    try:
        body = PredictionBody.model_validate_json(answer.read())
        prediction = Prediction.from_dict(body.model_dump(exclude_unset=True))
        check_result(prediction)
    except ValidationError as error:
        raise _no_answer(first_fault(error.errors())) from error
    except (ValueError, TypeError) as error:
        raise _no_answer(error) from error
    return prediction


def _no_answer(reason: object) -> Refusal:
    return Refusal(422, "results", f"This is no answer of the service ({reason}).")
