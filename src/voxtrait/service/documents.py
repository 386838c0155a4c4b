"""An answer as the document of an export format."""

from __future__ import annotations

import io
import json
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated, Final, Literal
from urllib.parse import quote

from fastapi import Query
from fastapi.responses import Response

from voxtrait.exports import EXPORTS, get_writer
from voxtrait.results import Prediction
from voxtrait.service.problems import Refusal

__all__ = ["FormatParameter", "document"]

if TYPE_CHECKING:
    _FormatName = str
else:
    _FormatName = Literal[tuple(EXPORTS)]

FormatParameter = Annotated[_FormatName, Query(alias="format", description="The form of the answer.")]

_JSON: Final = "json"


def document(prediction: Prediction, format_name: str) -> Response:
    """Return an answer in a format; JSON is one object, as everywhere in the service.

    Args:
        prediction: of a recording that was heard.
        format_name: one of `EXPORTS`.

    Raises:
        Refusal: 409 ``no_timeline`` if the format shows a timeline, and the answer has none.
    """
    writer_type = get_writer(format_name)
    if format_name == _JSON:
        return Response(json.dumps(prediction.to_dict()), media_type="application/json")
    if writer_type.needs_timeline and prediction.segments is None:
        raise Refusal(
            409, "no_timeline", f"{format_name} shows a timeline: ask for the answer with segments=true."
        )
    stream = io.StringIO(newline="")
    writer = writer_type(
        stream, segments=prediction.segments is not None, speakers=prediction.speakers is not None
    )
    writer.write(prediction)
    writer.finish()
    name = quote((PurePath(prediction.file).stem or "recording") + writer_type.suffix, safe="")
    headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{name}"}
    media_type = writer_type.media_type
    charset = "; charset=utf-8" if media_type.startswith("text/") else ""
    return Response(stream.getvalue().encode(), media_type=media_type + charset, headers=headers)
