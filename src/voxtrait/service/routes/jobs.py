"""`/v1/jobs`: recordings of any length; what comes of them is fetched later."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, Literal

import anyio.to_thread
from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel

from voxtrait.results import Prediction
from voxtrait.service.documents import FormatParameter, document
from voxtrait.service.jobs import Job
from voxtrait.service.keys import wants_key
from voxtrait.service.problems import PROBLEMS
from voxtrait.service.schemas import PREDICTION, PredictionBody, ProblemNote
from voxtrait.service.uploads import BODY, receive_upload
from voxtrait.service.wishes import NameParameter, WishParameters

__all__ = ["router"]

router = APIRouter(prefix="/v1", tags=["jobs"], dependencies=[wants_key], responses=PROBLEMS)


class JobLinks(BaseModel):
    """Where more of a job is."""

    self: str
    events: str
    result: str


class JobBody(BaseModel):
    """A job: times are RFC 3339, ``heard`` is seconds of audio, ``size`` bytes of the recording."""

    id: str
    state: Literal["queued", "running", "done", "failed"]
    name: str
    size: int
    model: str
    segments: bool
    speakers: bool
    created: str
    started: str | None
    finished: str | None
    expires: str | None
    heard: float | None
    position: int | None
    error: ProblemNote | None
    links: JobLinks


def _body(job: Job) -> JobBody:
    address = f"/v1/jobs/{job.id}"
    return JobBody(
        id=job.id,
        state=job.state,
        name=job.name,
        size=job.size,
        model=job.model,
        segments=job.segments,
        speakers=job.speakers,
        created=_time(job.created),
        started=_time(job.started),
        finished=_time(job.finished),
        expires=_time(job.expires),
        heard=job.heard,
        position=job.position,
        error=ProblemNote(**job.error) if job.error else None,
        links=JobLinks(self=address, events=f"{address}/events", result=f"{address}/result"),
    )


def _time(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@router.post("/jobs", status_code=202, summary="Take a recording of any length", openapi_extra=BODY)
async def add_job(
    request: Request, response: Response, wish: WishParameters, name: NameParameter = None
) -> JobBody:
    """Take a recording, which is heard as soon as those before it are; the answer says where to look.

    The recording is the part `file` of a form, or the whole body, in any format that can be decoded. It is
    kept until it has been heard, and what came of it until `expires`.
    """
    house = request.app.state.voxtrait
    with house.admission.place():
        await house.queue.check_room()
        upload = await receive_upload(request, name, house.settings.max_upload)
        try:
            job = await house.queue.add(upload, wish)
        finally:
            upload.close()
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return _body(job)


async def _find(request: Request, id: str) -> Job:
    job: Job = await request.app.state.voxtrait.queue.find(id)
    return job


@router.get("/jobs/{id}", summary="How a job stands")
async def get_job(job: Annotated[Job, Depends(_find)]) -> JobBody:
    """Describe a job."""
    return _body(job)


@router.get("/jobs/{id}/events", summary="A job as it goes on", response_class=EventSourceResponse)
async def job_events(request: Request, job: Annotated[Job, Depends(_find)]) -> AsyncIterator[ServerSentEvent]:
    """Send the event `job` at once and at each change, until the job has ended.

    While it is heard there are two a second at most. Of a job that is deleted the last event is `gone`.
    """
    async for now in request.app.state.voxtrait.queue.watch(job.id):
        if now is None:
            yield ServerSentEvent(event="gone", data={"id": job.id})
        else:
            yield ServerSentEvent(event="job", data=_body(now))


@router.get(
    "/jobs/{id}/result", summary="What was heard", response_model=PredictionBody, responses={200: PREDICTION}
)
async def job_result(request: Request, id: str, form: FormatParameter = "json") -> Response:
    """Return the answer of a job that is done, in any form."""
    answer = Prediction.from_dict(await request.app.state.voxtrait.queue.answer(id))
    # The timeline of hours is long: others are answered meanwhile.
    return await anyio.to_thread.run_sync(document, answer, form)


@router.delete("/jobs/{id}", status_code=204, summary="Stop a job and forget it")
async def delete_job(request: Request, id: str) -> None:
    """Stop a job, and forget the recording and what came of it."""
    await request.app.state.voxtrait.queue.delete(id)
