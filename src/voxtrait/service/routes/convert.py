"""`POST /v1/convert`: an answer in another form."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import Response

from voxtrait.exports.reading import check_result
from voxtrait.results import Prediction
from voxtrait.service.documents import FormatParameter, document
from voxtrait.service.keys import wants_key
from voxtrait.service.problems import PROBLEMS, Refusal
from voxtrait.service.schemas import PredictionBody

__all__ = ["router"]

router = APIRouter(prefix="/v1", tags=["predict"], dependencies=[wants_key], responses=PROBLEMS)


@router.post("/convert", summary="An answer in another form", response_class=Response)
async def convert(answer: PredictionBody, form: FormatParameter) -> Response:
    """Write an answer of this service in another form, such as RTTM, TextGrid or CSV."""
    prediction = Prediction.from_dict(answer.model_dump(exclude_unset=True))
    if prediction.status == "error":
        raise Refusal(409, "no_answer", f"{prediction.file} could not be heard: there is nothing to convert.")
    try:
        check_result(prediction)
    except (ValueError, TypeError) as error:
        raise Refusal(422, "results", f"This is no answer of the service: {error}.") from error
    return document(prediction, form)
