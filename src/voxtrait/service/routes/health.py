"""Whether the service lives, whether it can work, and its figures."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from voxtrait.service.keys import wants_key
from voxtrait.service.problems import PROBLEMS, Refusal

__all__ = ["router"]

router = APIRouter(tags=["operation"])


class Health(BaseModel):
    """What a probe reads."""

    status: str


# Monitors ask by HEAD.
@router.head("/healthz", include_in_schema=False)
@router.get("/healthz", summary="Whether the service lives")
async def healthz() -> Health:
    """Answer 200 as long as the service answers at all."""
    return Health(status="ok")


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", summary="Whether the service can work", responses={503: PROBLEMS[503]})
async def readyz(request: Request) -> Health:
    """Answer 200 if recordings are heard and the database of jobs is there, else 503 that says why not."""
    house = request.app.state.voxtrait
    if house.stopping.is_set():
        raise Refusal(503, "stopping", "The service is being stopped.")
    if not house.predict.ready:
        raise Refusal(503, "workers", "The processes that hear recordings are still beginning.")
    await house.queue.check()
    return Health(status="ready")


@router.get(
    "/metrics",
    summary="Figures for Prometheus",
    response_class=PlainTextResponse,
    dependencies=[wants_key],
    responses={401: PROBLEMS[401]},
)
async def metrics(request: Request) -> Response:
    """Return counts, latencies and queues in the text format of Prometheus."""
    return Response(request.app.state.voxtrait.metrics.text(), media_type=CONTENT_TYPE_LATEST)
