"""The described interface, tried with whatever fits its description and what does not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from service_toys import Service, running_service

#: What is sent is seldom a recording, and refused then although it fits the description.
UNFIT = "positive_data_acceptance"


def schemathesis(service: Service, *options: str) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("schemathesis")
    words: list[str | Path] = [program, "run", f"{service.url}/openapi.json", "--no-color", "--seed", "1"]
    return subprocess.run([*words, *options], capture_output=True, text=True, check=False, cwd=service.folder)


@pytest.mark.parametrize(
    "keys", [pytest.param(False, marks=pytest.mark.long), True], ids=["open", "with keys"]
)
def test_every_answer_is_one_that_is_described(tmp_path: Path, keys: bool) -> None:
    file = tmp_path / "keys"
    file.write_text("a-key\n")
    settings: list[str | Path] = ["--api-key-file", file] if keys else []
    options = ["-H", "Authorization: Bearer a-key"] if keys else []
    with running_service(tmp_path, "--max-upload", "2", "--workers", "1", *settings) as service:
        done = schemathesis(service, "--checks", "all", "--exclude-checks", UNFIT, "-n", "8", *options)
        log = service.log
    assert done.returncode == 0, done.stdout[-6000:]
    assert "12 passed" in done.stdout
    assert [line for line in log if line.get("status", 0) >= 500] == []
    assert [line for line in log if line["level"] == "error"] == []


def test_the_description_names_every_way(service: Service) -> None:
    with service.client() as client:
        described = client.get("/openapi.json").json()
    ways = {f"{method.upper()} {path}" for path, found in described["paths"].items() for method in found}
    assert {"POST /v1/predict", "POST /v1/jobs", "GET /v1/models", "GET /readyz", "POST /v1/convert"} <= ways
    assert all(one.get("summary") for found in described["paths"].values() for one in found.values())
    assert "security" not in json.dumps(described)
