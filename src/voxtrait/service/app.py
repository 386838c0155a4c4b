"""The application: what it is made of, and how it begins and ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from fastapi import FastAPI, Request
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles

from voxtrait import __version__
from voxtrait.engine import Plan
from voxtrait.service.catalog import Catalog
from voxtrait.service.jobs import JobQueue
from voxtrait.service.keys import Keys
from voxtrait.service.lanes import Lane
from voxtrait.service.observe import Metrics, Observer
from voxtrait.service.problems import Refusal, install_problems, stopping
from voxtrait.service.routes import convert, health, jobs, models, predict, stream
from voxtrait.service.settings import Settings
from voxtrait.service.streams import StreamHouse

__all__ = ["Admission", "House", "create_app"]

_PAGE: Final = Path(__file__).parent / "page"
#: By how much jobs give way to who waits for an answer.
_NICENESS: Final = 10
#: The page loads nothing from elsewhere; nobody shows it in a frame.
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; media-src 'self' blob:; "
    "connect-src 'self' ws: wss:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "microphone=(self)",
    # Revalidated: a new version of the service has another page.
    "Cache-Control": "no-cache",
}


class Admission:
    """Places for uploads, a bounded number.

    Args:
        places: how many there are.
        metrics: told how many are taken.
        end: set when nobody gets one any more.
    """

    def __init__(self, places: int, metrics: Metrics, end: asyncio.Event) -> None:
        self._places = places
        self._end = end
        self._taken = 0
        self._metrics = metrics

    @contextmanager
    def place(self) -> Iterator[None]:
        """Take a place for as long as the context lasts.

        Raises:
            Refusal: 429 ``busy`` if there is none; 503 ``stopping``.
        """
        if self._end.is_set():
            raise stopping()
        if self._taken >= self._places:
            raise Refusal(
                429,
                "busy",
                f"{self._taken} recordings are on their way here already: try again in a second.",
                {"Retry-After": "1"},
            )
        self._taken += 1
        self._metrics.in_flight.set(self._taken)
        try:
            yield
        finally:
            self._taken -= 1
            self._metrics.in_flight.set(self._taken)


@dataclass
class House:
    """All that requests share.

    Attributes:
        predict, jobs: what hears uploads, and jobs.
        queue: the jobs.
        streams: the live streams.
        stopping: set when the service is told to end.
    """

    settings: Settings
    catalog: Catalog
    keys: Keys
    metrics: Metrics
    predict: Lane
    jobs: Lane
    admission: Admission
    stopping: asyncio.Event
    queue: JobQueue = field(init=False)
    streams: StreamHouse = field(init=False)

    def __post_init__(self) -> None:
        self.queue = JobQueue(self)
        self.streams = StreamHouse(self)

    @classmethod
    def build(cls, settings: Settings) -> House:
        """Make it of settings; nothing begins yet.

        Raises:
            BundleError: if a model cannot be used.
            UsageError: if another setting cannot.
        """
        catalog, metrics, end = Catalog(settings.models), Metrics(), asyncio.Event()
        return cls(
            settings=settings,
            catalog=catalog,
            keys=Keys.read(settings.api_key_file),
            metrics=metrics,
            predict=Lane(Plan(catalog.bundles), settings.workers),
            jobs=Lane(Plan(catalog.bundles, niceness=_NICENESS), settings.workers),
            admission=Admission(settings.queue, metrics, end),
            stopping=end,
        )

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Begin, and end in order."""
        self.predict.begin()
        async with self.queue.running(), self.streams.running():
            yield
        await asyncio.to_thread(self.jobs.close)
        await asyncio.to_thread(self.predict.close)


def create_app(settings: Settings) -> FastAPI:
    """Return the application of a service.

    Raises:
        BundleError: if a model cannot be used.
        UsageError: if another setting cannot.
    """
    house = House.build(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with house.open():
            yield

    app = FastAPI(
        title="voxtrait",
        summary="Gender and age of speakers from voice recordings.",
        version=__version__,
        license_info={"name": "Apache-2.0"},
        # Their pages load scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.voxtrait = house
    _add_page(app)
    routes = list(app.routes)
    for room in (predict, convert, jobs, stream, models, health):
        app.include_router(room.router)
        routes += room.router.routes
    install_problems(app, routes)
    if not house.keys.wanted:
        _describe_as_open(app)
    if settings.cors:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors),
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type"],
            expose_headers=["Content-Disposition", "Location", "Retry-After"],
        )
    app.add_middleware(Observer, metrics=house.metrics)
    return app


def _describe_as_open(app: FastAPI) -> None:
    """Leave out of the description of the interface that it asks for keys."""
    description = app.openapi()
    description.get("components", {}).pop("securitySchemes", None)
    for ways in description["paths"].values():
        for way in ways.values():
            way.pop("security", None)
            way["responses"].pop("401", None)


class _Page(StaticFiles):
    """The files of the page."""

    def file_response(self, *args: object, **options: object) -> Response:
        response = super().file_response(*args, **options)  # type: ignore[arg-type]
        response.headers.update(_HEADERS)
        return response


def _add_page(app: FastAPI) -> None:
    app.mount("/page", _Page(directory=_PAGE), name="page")

    @app.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
    async def page(_: Request) -> Response:
        return FileResponse(_PAGE / "index.html", headers=_HEADERS)
