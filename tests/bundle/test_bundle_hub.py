"""Bundles of the Hugging Face hub: its real client against a small server that speaks its protocol."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote

import pytest
from bundle_toys import toy_card, toy_model

from voxtrait.bundle import load_bundle, store
from voxtrait.errors import MissingExtraError

pytest.importorskip("huggingface_hub")

MODEL = toy_model()
COMMITS = {"main": "a" * 40, "v1": "b" * 40}
LOAD = """
import sys
from voxtrait.bundle import load_bundle
from voxtrait.errors import BundleError
try:
    print("loaded", load_bundle(sys.argv[1]).title)
except BundleError as error:
    print(error.code, error.message)
"""


def card_of(version: str) -> bytes:
    return toy_card(version=version).sealed(MODEL).model_dump_json().encode()


#: repository -> revision -> file -> content; an integer is a file of that size that is never sent.
FILES: dict[str, dict[str, dict[str, bytes | int]]] = {
    "org/toy": {
        "main": {"card.json": card_of("2"), "model.onnx": MODEL, ".gitattributes": b"", "evil.pkl": b""},
        "v1": {"card.json": card_of("1"), "model.onnx": MODEL},
    },
    "org/bare": {"main": {"card.json": card_of("1")}},
    "org/huge": {"main": {"card.json": card_of("1"), "model.onnx": 2**40}},
    "org/changed": {"main": {"card.json": card_of("1"), "model.onnx": MODEL + b"\0"}},
}


class Hub(BaseHTTPRequestHandler):
    """HEAD and GET of /{org}/{name}/resolve/{revision}/{file}."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(f"{self.command} {self.path}")
        match = re.fullmatch(r"/([\w-]+/[\w-]+)/resolve/([^/]+)/([^/]+)", self.path)
        repo, revision, name = (unquote(part) for part in match.groups()) if match else ("", "", "")
        named = {commit: label for label, commit in COMMITS.items()}.get(revision, revision)
        files = FILES.get(repo, {}).get(named)
        if files is None:
            self.refuse("RevisionNotFound" if repo in FILES else "RepoNotFound")
        elif name not in files:
            self.refuse("EntryNotFound", COMMITS[named])
        else:
            content = files[name]
            size = content if isinstance(content, int) else len(content)
            self.send_response(200)
            self.send_header("ETag", f'"{hashlib.sha256(str(content).encode()).hexdigest()}"')
            self.send_header("X-Repo-Commit", COMMITS[named])
            self.send_header("Content-Length", str(size))
            self.end_headers()
            if self.command == "GET" and isinstance(content, bytes):
                self.wfile.write(content)

    def do_HEAD(self) -> None:
        self.do_GET()

    def refuse(self, code: str, commit: str = "") -> None:
        self.send_response(404)
        self.send_header("X-Error-Code", code)
        if commit:
            self.send_header("X-Repo-Commit", commit)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class Client:
    """Loads bundles in a fresh process whose hub is the test's server."""

    def __init__(self, home: Path, port: int, asked: list[str]) -> None:
        self.asked = asked
        self.home = home
        self.environment = {key: value for key, value in os.environ.items() if not key.startswith("HF_")} | {
            "HF_ENDPOINT": f"http://127.0.0.1:{port}",
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_XET": "1",
            "NO_PROXY": "127.0.0.1",
        }

    def load(self, name: str, **environment: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", LOAD, name],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.home,
            env=self.environment | environment,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    paths = [str(Path(path).resolve()) for path in sys.path if path]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    asked: list[str] = []
    handler = type("Handler", (Hub,), {"asked": asked})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield Client(tmp_path, server.server_address[1], asked)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_bundle_of_the_hub_loads_and_stays_in_its_cache(client: Client) -> None:
    assert client.load("org/toy") == "loaded toy 2"
    assert not [line for line in client.asked if "evil" in line or "gitattributes" in line]
    assert client.load("org/toy", HF_HUB_OFFLINE="1") == "loaded toy 2"
    assert client.load("org/toy", HF_ENDPOINT="http://127.0.0.1:9") == "loaded toy 2"


def test_a_revision_is_honoured(client: Client) -> None:
    assert client.load("org/toy@v1") == "loaded toy 1"
    assert client.load(f"org/toy@{COMMITS['v1']}") == "loaded toy 1"
    assert client.load("org/toy@v9").startswith("bundle_not_found There is no file or folder 'org/toy'")


def test_refusals(client: Client) -> None:
    assert client.load("org/none").startswith("bundle_not_found")
    assert client.load("org/bare").startswith("bundle_corrupt")
    assert client.load("org/changed").startswith("bundle_hash")
    assert client.load("org/toy", HF_HUB_OFFLINE="1").startswith("bundle_not_found")


def test_a_large_file_is_refused_before_it_is_fetched(client: Client) -> None:
    said = client.load("org/huge")
    assert said.startswith("bundle_unsafe model.onnx of org/huge on the Hugging Face hub has more than")
    assert not [line for line in client.asked if line.startswith("GET") and line.endswith("model.onnx")]


def test_without_the_client_a_line_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r"no file or folder 'org/toy'.*voxtrait\[hub\]"):
        load_bundle("org/toy")


def test_the_card_is_fetched_first() -> None:
    """A card is small: what is wrong with it costs no download of a model."""
    order: list[str] = []

    def read(name: str, limit: int) -> bytes:
        order.append(name)
        return json.dumps({"schema_version": 2}).encode()

    with pytest.raises(Exception, match="upgrade"):
        store._assemble(read, "here")
    assert order == ["card.json"]
