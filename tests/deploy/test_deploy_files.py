"""The image, the compose file and the unit: what they say fits the package, and their commands run."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer
import yaml

from voxtrait.cli import app
from voxtrait.service.settings import Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
SERVE = typer.main.get_command(app).commands["serve"]  # type: ignore[attr-defined]
OPTIONS = {option for parameter in SERVE.params for option in parameter.opts} - {"--help"}
VARIABLES = {parameter.envvar for parameter in SERVE.params if parameter.envvar} | {"VOXTRAIT_DATABASE_URL"}


class Dockerfile:
    """The instructions of the last stage, and the files that any stage copies from the context."""

    def __init__(self) -> None:
        text = (DEPLOY / "Dockerfile").read_text()
        joined = re.sub(r"\\\n\s*", " ", "\n".join(line for line in text.splitlines() if line[:1] != "#"))
        self.lines = [line for line in joined.splitlines() if line]
        self.last = self.lines[max(i for i, line in enumerate(self.lines) if line.startswith("FROM")) :]
        self.copied = [
            name
            for line in self.lines
            if line.startswith("COPY ") and "--from" not in line
            for name in line.split()[1:-1]
        ]

    def words(self, instruction: str) -> list[str]:
        (line,) = [line for line in self.last if line.startswith(instruction + " ")]
        found: list[str] = json.loads(line[line.index("[") :])
        return found

    @property
    def environment(self) -> dict[str, str]:
        words = [word for line in self.last if line.startswith("ENV ") for word in shlex.split(line)[1:]]
        return dict(word.split("=", 1) for word in words)


@pytest.fixture(scope="module")
def image() -> Dockerfile:
    return Dockerfile()


def test_the_image_gets_what_the_wheel_is_built_from(image: Dockerfile) -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    let_in = {line[1:] for line in ignored if line.startswith("!")}
    assert set(image.copied) == let_in
    assert all((ROOT / name).exists() for name in image.copied)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {project["readme"], *project["license-files"], "pyproject.toml", "src"} <= let_in
    wanted = next(line for line in image.lines if "dist/*.whl" in line)
    extras = re.search(r"whl\)\[([a-z,]+)\]", wanted)
    assert extras is not None
    assert set(extras[1].split(",")) <= set(project["optional-dependencies"])


def test_the_image_runs_as_nobody_else(image: Dockerfile) -> None:
    (user,) = [line.split()[1] for line in image.last if line.startswith("USER ")]
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user)
    made = next(line for line in image.last if "useradd" in line)
    assert f"--uid {user.split(':')[0]} " in made
    assert image.environment["XDG_STATE_HOME"] in [
        line.split()[1] for line in image.last if line.startswith("VOLUME ")
    ]
    assert f"EXPOSE {image.environment['VOXTRAIT_PORT']}" in image.last


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder that another user may use, which those of pytest are not."""
    folder = Path(tempfile.mkdtemp(prefix="voxtrait-deploy-"))
    try:
        folder.chmod(0o755)
        for name in ("data", "tmp"):
            (folder / name).mkdir(mode=0o777)
            (folder / name).chmod(0o777)
        (folder / "locked").mkdir(mode=0o555)
        yield folder
    finally:
        shutil.rmtree(folder)


def _user(environment: dict[str, str]) -> dict[str, Any]:
    """Return how to run as another user, where this one may, and that one can read the package."""
    other: dict[str, Any] = {"user": 10_001, "group": 10_001, "extra_groups": []}
    try:
        command = [sys.executable, "-c", "import voxtrait.service.server"]
        subprocess.run(command, check=True, env=environment, stderr=subprocess.DEVNULL, cwd="/", **other)
    except (OSError, subprocess.CalledProcessError):
        return {}
    return other


def test_the_command_of_the_image(image: Dockerfile, home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
    own = {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "PYTHONPATH": str(ROOT / "src"),
        "XDG_STATE_HOME": str(home / "data"),
        "TMPDIR": str(home / "tmp"),
        "VOXTRAIT_PORT": port,
        "VOXTRAIT_WORKERS": "1",
        "HOME": "/nonexistent",
    }
    environment = image.environment | own
    words = [*image.words("ENTRYPOINT"), *image.words("CMD")]
    assert "0.0.0.0" in words
    words = ["127.0.0.1" if word == "0.0.0.0" else word for word in words]
    health = image.words("HEALTHCHECK")
    options: dict[str, Any] = {"env": environment, "cwd": home / "locked", **_user(environment)}

    def healthy() -> bool:
        done = subprocess.run(health, check=False, stderr=subprocess.DEVNULL, timeout=30, **options)
        return done.returncode == 0

    assert not healthy()
    with subprocess.Popen(words, stderr=subprocess.DEVNULL, **options) as process:
        try:
            end = time.monotonic() + 60
            while not healthy():
                assert process.poll() is None
                assert time.monotonic() < end
                time.sleep(0.1)
            recording = (ROOT / "examples" / "man.ogg").read_bytes()
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as client:
                assert client.post("/v1/predict", content=recording).json()["gender"]["label"] == "male"
                assert client.post("/v1/jobs", content=recording).status_code == 202
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            process.kill()
    assert [path.name for path in (home / "data").iterdir()] == ["voxtrait"]
    assert list((home / "tmp").iterdir()) == []


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return found


def test_the_compose_file_fits_together(compose: dict[str, Any]) -> None:
    assert set(compose) == {"name", "services", "networks", "volumes", "secrets"}
    services = compose["services"]
    for service in services.values():
        assert set(service.get("depends_on", {})) <= set(services)
        for kind in ("networks", "secrets"):
            assert set(service.get(kind, ())) <= set(compose[kind])
        assert {volume.partition(":")[0] for volume in service["volumes"]} <= set(compose["volumes"])
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
    ours, database = services["voxtrait"], services["database"]
    assert (
        DEPLOY / ours["build"]["context"] / ours["build"]["dockerfile"]
    ).resolve() == DEPLOY / "Dockerfile"
    assert ours["depends_on"]["database"]["condition"] == "service_healthy"
    assert "healthcheck" in database
    assert all(port.startswith("127.0.0.1:") for port in ours["ports"])
    assert set(ours["environment"]) <= VARIABLES
    asked, given = httpx.URL(ours["environment"]["VOXTRAIT_DATABASE_URL"]), database["environment"]
    assert (asked.host, asked.username) == ("database", given["POSTGRES_USER"])
    assert asked.path == f"/{given['POSTGRES_DB']}"
    assert compose["networks"]["inside"]["internal"]
    assert float(ours["stop_grace_period"].removesuffix("s")) > Settings().grace


def test_the_command_of_the_compose_file_reads_the_secret(compose: dict[str, Any], tmp_path: Path) -> None:
    (secret,) = compose["services"]["voxtrait"]["secrets"]
    (tmp_path / "password").write_text("pass word\n")
    stub = tmp_path / "voxtrait"
    stub.write_text('#!/bin/sh\nprintf "%s|" "$$" "$PGPASSWORD" "$@"\n')
    stub.chmod(0o755)
    words = [word.replace("$$", "$") for word in compose["services"]["voxtrait"]["entrypoint"]]
    words = [word.replace(f"/run/secrets/{secret}", str(tmp_path / "password")) for word in words]
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    process = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True)
    said = process.communicate(timeout=30)[0].split("|")[:-1]
    assert said[:3] == [str(process.pid), "pass word", "serve"], "the service is the process of the container"
    assert {word for word in said[3:] if word.startswith("--")} <= OPTIONS


@pytest.fixture(scope="module")
def unit() -> list[tuple[str, str]]:
    lines = (DEPLOY / "voxtrait.service").read_text().splitlines()
    return [
        (name, value)
        for name, _, value in (line.partition("=") for line in lines)
        if name[:1] not in ("#", "[", "")
    ]


def test_the_unit_starts_the_service(unit: list[tuple[str, str]]) -> None:
    (command,) = [value for name, value in unit if name == "ExecStart"]
    program, name, *words = command.split()
    assert (Path(program).name, name) == ("voxtrait", "serve")
    assert {word for word in words if word.startswith("--")} <= OPTIONS
    said = dict(unit)
    assert float(said["TimeoutStopSec"]) > Settings().grace
    assert ("Environment", "XDG_STATE_HOME=%S") in unit
    assert said["StateDirectory"] == "voxtrait", (
        "that is where the service keeps its jobs below XDG_STATE_HOME"
    )
    comments = (DEPLOY / "voxtrait.service").read_text()
    assert set(re.findall(r"VOXTRAIT_[A-Z_]+", comments)) <= VARIABLES


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not here")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    text = (DEPLOY / "voxtrait.service").read_text()
    path = tmp_path / "voxtrait.service"
    path.write_text(re.sub(r"(?m)^ExecStart=\S+", f"ExecStart={Path(sys.executable).parent}/voxtrait", text))
    done = subprocess.run(["systemd-analyze", "verify", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "voxtrait.service" not in done.stderr


def test_no_file_of_the_folder_is_left_out_of_a_checkout() -> None:
    ignored = [line.strip("/") for line in (ROOT / ".gitignore").read_text().splitlines()]
    for path in DEPLOY.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            assert not any(fnmatch(path.name, pattern) for pattern in ignored)
    assert os.path.lexists(DEPLOY / "spaces" / "app.py")
