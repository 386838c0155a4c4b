"""A Hugging Face hub on this machine: it speaks the protocol of the real client, both ways.

Publishing is ``/api/repos/create``, ``validate-yaml``, ``preupload``, the Git LFS batch with basic and
multipart transfers, and ``commit``; loading is ``resolve``, with its redirect to large files.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote

import yaml

#: Content of a file; an integer is a file of that size that is never sent.
Content = bytes | int
Files = Mapping[str, Content]

#: A token that may write to "org", and one that may only read there.
WRITER, READER = "hf_writer", "hf_reader"
LICENCES = {"apache-2.0", "cc0-1.0", "mit", "other"}


@dataclass
class Repo:
    """A repository: its revisions by branch and by commit, and the message of each commit."""

    private: bool = False
    revisions: dict[str, Files] = field(default_factory=dict)
    heads: dict[str, str] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)

    def commit(self, changes: Files, message: str = "", branch: str = "main") -> str:
        """Put files on top of a branch and return the commit."""
        oid = hashlib.sha1(f"{branch} {message} {len(self.revisions)}".encode()).hexdigest()
        self.revisions[oid] = {**self.files(branch), **changes}
        self.heads[branch] = oid
        self.messages.append(message)
        return oid

    def files(self, revision: str = "main") -> Files:
        return self.revisions.get(self.heads.get(revision, revision), {})


@dataclass
class Hub:
    """The state of the hub; ``before`` holds what happens before a path with the key in it is served."""

    repos: dict[str, Repo] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    parts: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    before: dict[str, Callable[[], object]] = field(default_factory=dict)
    #: What organisations may choose for their new repositories.
    private_by_default: bool = False
    #: Larger objects are asked for in several parts.
    part_size: int = 5 * 2**20
    endpoint: str = ""
    #: Another host that keeps the large files, as the real hub's do not come from the hub itself.
    storage: str = ""

    def add(self, name: str, files: Files, **options: Any) -> str:
        return self.repos.setdefault(name, Repo()).commit(files, **options)


class RefusalError(Exception):
    """What the hub answers instead."""

    def __init__(self, status: int, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.hub.asked.append(f"{self.command} {self.path}")
        self.body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        try:
            for part, happening in self.hub.before.items():
                if part in self.path:
                    happening()
            self.route()
        except RefusalError as refused:
            text = str(refused)
            headers = {name.replace("_", "-"): value for name, value in refused.headers.items()}
            self.answer({"error": text}, refused.status, **headers | {"X-Error-Message": text})

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        self.do_GET()

    def do_PUT(self) -> None:
        self.do_GET()

    def route(self) -> None:
        for pattern, action in (
            (r"/api/repos/create", self.create),
            (r"/api/validate-yaml", self.validate),
            (r"/api/models/([^/]+/[^/]+)/preupload/main", self.preupload),
            (r"/api/models/([^/]+/[^/]+)/commit/main", self.commit),
            (r"/api/models/([^/]+/[^/]+)(?:/revision/main)?", self.info),
            (r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch", self.batch),
            (r"/([^/]+/[^/]+)/resolve/([^/]+)/([^/]+)", self.resolve),
            (r"/lfs/upload/(\w+)/(\d*)", self.store),
            (r"/lfs/complete/(\w+)", self.complete),
            (r"/lfs/verify/(\w+)", self.verify),
            (r"/lfs/(\w+)", self.fetch),
        ):
            if match := re.fullmatch(pattern, self.path.partition("?")[0]):
                action(*map(unquote, match.groups()))
                return
        raise RefusalError(404, "Not Found")

    # Who asks

    def reads(self, name: str) -> Repo:
        """Return a repository that the caller may read."""
        token = self.token()
        repo = self.hub.repos.get(name)
        if repo is None or (repo.private and token is None):
            raise RefusalError(
                401 if token is None else 404, "Repository not found", X_Error_Code="RepoNotFound"
            )
        return repo

    def writes(self, name: str) -> Repo:
        """Return a repository that the caller may write."""
        if self.token() != WRITER or not name.startswith("org/"):
            raise RefusalError(
                403, f"You don't have the rights to create a model under {name.split('/')[0]!r}"
            )
        return self.reads(name)

    def token(self) -> str | None:
        kind, _, token = self.headers.get("Authorization", "").partition(" ")
        if kind and (kind, token) not in (("Bearer", WRITER), ("Bearer", READER)):
            raise RefusalError(401, "Invalid credentials in Authorization header")
        return token or None

    # Publishing

    def create(self) -> None:
        asked = json.loads(self.body)
        name = f"{asked['organization']}/{asked['name']}"
        repos = self.hub.repos
        fresh = name not in repos
        if fresh:
            repos[name] = Repo()
        try:
            self.writes(name)
        except RefusalError:
            if fresh:
                del repos[name]
            raise
        if fresh:
            default = "private" if self.hub.private_by_default else "public"
            repos[name].private = asked.get("visibility", default) == "private"
            repos[name].commit({".gitattributes": b"*.onnx filter=lfs\n"}, "initial commit")
        said = {"url": f"{self.hub.endpoint}/{name}", "name": name}
        self.answer(said if fresh else said | {"error": "You already created this model repo"},
                    200 if fresh else 409)  # fmt: skip

    def validate(self) -> None:
        page = json.loads(self.body)["content"]
        data = yaml.safe_load(page.split("---\n")[1]) if page.startswith("---\n") else {}
        if data.get("license") not in LICENCES:
            complaint = [{"message": f'"license" must be one of {sorted(LICENCES)}'}]
            self.answer({"errors": complaint, "warnings": []}, 400)
        else:
            self.answer({"errors": [], "warnings": []})

    def preupload(self, name: str) -> None:
        files = self.writes(name).files()
        answers = []
        for asked in json.loads(self.body)["files"]:
            path = asked["path"]
            mode = "lfs" if path.endswith(".onnx") else "regular"
            answer = {"path": path, "uploadMode": mode, "shouldIgnore": False}
            if isinstance(content := files.get(path), bytes):
                answer["oid"] = _sha256(content) if mode == "lfs" else _git_oid(content)
            answers.append(answer)
        self.answer({"files": answers})

    def batch(self, name: str) -> None:
        self.writes(name)
        objects: list[dict[str, Any]] = []
        for asked in json.loads(self.body)["objects"]:
            oid, size = asked["oid"], asked["size"]
            objects.append({"oid": oid, "size": size})
            if oid not in self.hub.objects:
                objects[-1]["actions"] = {
                    "upload": self.upload_of(oid, size),
                    "verify": {"href": f"{self.hub.endpoint}/lfs/verify/{oid}"},
                }
        self.answer({"objects": objects, "transfer": "basic"})

    def upload_of(self, oid: str, size: int) -> dict[str, Any]:
        upload, step = f"{self.hub.storage}/lfs/upload/{oid}/", self.hub.part_size
        if size <= step:
            return {"href": upload}
        parts = {str(number + 1): f"{upload}{number + 1}" for number in range(-(-size // step))}
        return {
            "href": f"{self.hub.endpoint}/lfs/complete/{oid}",
            "header": {"chunk_size": str(step)} | parts,
        }

    def store(self, oid: str, number: str) -> None:
        if number:
            self.hub.parts[f"{oid} {number}"] = self.body
        else:
            self.keep(oid, self.body)
        self.answer({}, ETag=f'"{_sha256(self.body)}"')

    def complete(self, oid: str) -> None:
        parts = []
        for asked in json.loads(self.body)["parts"]:
            part = self.hub.parts[f"{oid} {asked['partNumber']}"]
            if asked["etag"].strip('"') != _sha256(part):
                raise RefusalError(400, "wrong part")
            parts.append(part)
        self.keep(oid, b"".join(parts))
        self.answer({})

    def keep(self, oid: str, content: bytes) -> None:
        if _sha256(content) != oid:
            raise RefusalError(400, "wrong object")
        self.hub.objects[oid] = content

    def verify(self, oid: str) -> None:
        if len(self.hub.objects.get(oid, b"")) != json.loads(self.body)["size"]:
            raise RefusalError(404, "no such object")
        self.answer({})

    def commit(self, name: str) -> None:
        repo = self.writes(name)
        head, *rows = (json.loads(line) for line in self.body.splitlines())
        if head["value"].get("parentCommit") not in (None, repo.heads["main"]):
            raise RefusalError(412, "A commit has happened since. Please refresh and try again.")
        files: dict[str, Content] = {}
        for row in rows:
            value = row["value"]
            if row["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif row["key"] == "lfsFile" and value["oid"] in self.hub.objects:
                files[value["path"]] = self.hub.objects[value["oid"]]
            else:
                raise RefusalError(400, f"cannot commit {row}")
        oid = repo.commit(files, head["value"]["summary"])
        self.answer({"commitUrl": f"{self.hub.endpoint}/{name}/commit/{oid}", "commitOid": oid})

    def info(self, name: str) -> None:
        repo = self.reads(name)
        self.answer({"id": name, "sha": repo.heads["main"], "private": repo.private})

    # Loading

    def resolve(self, name: str, revision: str, path: str) -> None:
        repo = self.reads(name)
        commit = repo.heads.get(revision, revision)
        if commit not in repo.revisions:
            raise RefusalError(404, "Invalid rev id", X_Error_Code="RevisionNotFound")
        files = repo.revisions[commit]
        if path not in files:
            raise RefusalError(404, "Entry not found", X_Error_Code="EntryNotFound", X_Repo_Commit=commit)
        content = files[path]
        oid = _sha256(str(content).encode() if isinstance(content, int) else content)
        headers = {"X-Repo-Commit": commit, "ETag": f'"{oid}"'}
        if oid in self.hub.objects:
            linked = {"X-Linked-Size": str(len(self.hub.objects[oid])), "X-Linked-Etag": f'"{oid}"'}
            self.send(b"", 302, headers | linked | {"Location": f"{self.hub.storage}/lfs/{oid}"})
        else:
            self.send(content, 200, headers)

    def fetch(self, oid: str) -> None:
        self.send(self.hub.objects[oid], 200, {"ETag": f'"{oid}"'})

    # Answers

    def answer(self, said: dict[str, Any], status: int = 200, **headers: str) -> None:
        self.send(json.dumps(said).encode(), status, {"Content-Type": "application/json"} | headers)

    def send(self, content: Content, status: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(content if isinstance(content, int) else len(content)))
        self.end_headers()
        if isinstance(content, int):
            self.close_connection = True
        elif self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _git_oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass
class Client:
    """Runs programs in fresh processes whose hub is the test's."""

    hub: Hub
    home: Path

    def python(self, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run Python with a home of its own and no token but what ``environment`` adds."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
        settings = {
            "HF_ENDPOINT": self.hub.endpoint,
            "HF_HOME": str(self.home),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_XET": "1",
            "NO_PROXY": "127.0.0.1,localhost",
            "PYTHONPATH": os.pathsep.join(str(Path(path).resolve()) for path in sys.path if path),
        }
        return subprocess.run(
            [sys.executable, *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            cwd=self.home,
            env=kept | settings | environment,
        )


@contextlib.contextmanager
def serving(home: Path) -> Iterator[Client]:
    """Run a hub and yield its client, whose cache lies in ``home``."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    port = server.server_address[1]
    hub.endpoint, hub.storage = f"http://127.0.0.1:{port}", f"http://localhost:{port}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield Client(hub, home)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
