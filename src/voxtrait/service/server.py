"""The server: a socket, uvicorn, and an end in order."""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Callable, Iterator
from typing import Final

import uvicorn

from voxtrait.errors import UsageError
from voxtrait.service.app import House, create_app
from voxtrait.service.guard import GuardedProtocol
from voxtrait.service.observe import log_as_json
from voxtrait.service.settings import MIB, Settings

__all__ = ["serve"]

#: Connections at once; who comes later is told to come again.
_CONNECTIONS: Final = 1000
#: Seconds that a connection may be idle between two requests.
_IDLE: Final = 30
#: Milliseconds that what was sent may stay untaken before a connection is broken: who never reads would keep
#: it for ever, even when it was closed.
_UNTAKEN: Final = 60_000


def serve(settings: Settings, announce: Callable[[str], None]) -> None:
    """Serve until SIGTERM or Ctrl-C; what is under way then has ``settings.grace`` seconds to end.

    Args:
        settings: of the service.
        announce: told the address when recordings can be sent there.

    Raises:
        BundleError: if a model cannot be used.
        UsageError: ``usage`` if it cannot listen there, or a setting cannot be used; ``database``.
    """
    log_as_json(settings.log_level)
    _allow_connections()
    with _listening(settings) as listener:
        app = create_app(settings)
        config = uvicorn.Config(
            app,
            http=GuardedProtocol,
            ws="websockets-sansio",
            ws_max_size=MIB,
            # Behind pumped audio the answer to a ping is late; streams have limits of their own.
            ws_ping_timeout=None,
            ws_per_message_deflate=False,
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=_CONNECTIONS,
            timeout_keep_alive=_IDLE,
            timeout_graceful_shutdown=round(settings.grace),
        )
        host, port = listener.getsockname()[:2]
        address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        _Server(config, app.state.voxtrait, lambda: announce(address)).run(sockets=[listener])


class _Server(uvicorn.Server):
    """A server that tells the house when it stops, and whose end by a signal is no failure."""

    def __init__(self, config: uvicorn.Config, house: House, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self._house = house
        self._announce = announce

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        before = {
            number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._announce()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Before it waits for connections: live streams and events of jobs end only when they are told.
        self._house.stopping.set()
        for server in self.servers:
            server.close()
        await self._house.streams.drained(self._house.settings.grace)
        await super().shutdown(sockets)


def _listening(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listener = socket.create_server((settings.host, settings.port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(
            "usage",
            f"Nobody can listen on {settings.host}, port {settings.port}: {reason}; try another --port.",
        ) from error
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        # Connections have it from the socket that accepts them.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNTAKEN)
    return listener


def _allow_connections() -> None:
    """Let the process have as many files open as it may."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
