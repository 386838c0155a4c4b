"""A server of HTTP that gives the answers it is told to give."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["SERVER", "Answer", "Scripted", "scripted"]

#: What a service says of itself that hears nothing as a job that it does not hear at once.
SERVER: dict[str, Any] = {"max_upload": 1 << 20, "max_duration": 60.0, "predict_duration": 60.0}


@dataclass
class Answer:
    """An answer: what is said is JSON unless it is bytes; a status of 0 hangs up instead."""

    said: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Scripted:
    """A server that runs: of the answers for a path each is given once, the last for ever."""

    url: str
    answers: dict[str, list[Answer]]
    asked: list[str] = field(default_factory=list)


@contextmanager
def scripted(answers: dict[str, list[Answer]]) -> Iterator[Scripted]:
    """Run a server that says of itself that it is a service, and else gives the answers told by path."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            path = self.path.partition("?")[0]
            running.asked.append(f"{self.command} {path}")
            given = running.answers.get(path, [Answer(b"<p>not here</p>", 404)])
            answer = given.pop(0) if len(given) > 1 else given[0]
            if not answer.status:
                self.close_connection = True
                return
            body = answer.said if isinstance(answer.said, bytes) else json.dumps(answer.said).encode()
            self.send_response(answer.status)
            for name, value in {"Content-Length": str(len(body)), **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_DELETE = do_GET  # noqa: N815 - the names are those of http.server

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        known = {"/v1/server": [Answer(SERVER)], **answers}
        running = Scripted(f"http://127.0.0.1:{server.server_address[1]}", known)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield running
        finally:
            server.shutdown()
            thread.join()
