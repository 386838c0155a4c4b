"""The Space: its files fit the package, and the page works without any network."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import yaml
from playwright.sync_api import Route, sync_playwright

import voxtrait

ROOT = Path(__file__).parents[2]
SPACE = ROOT / "deploy" / "spaces"
EXAMPLES = ROOT / "examples"


def test_the_files_of_the_space_fit_the_package() -> None:
    _, header, text = (SPACE / "README.md").read_text().split("---\n", 2)
    said = yaml.safe_load(header)
    assert (said["sdk"], said["license"]) == ("gradio", "apache-2.0")
    assert f"gradio=={said['sdk_version']}" in (ROOT / "constraints.txt").read_text().splitlines()
    assert (SPACE / said["app_file"]).is_file()
    assert len(said["short_description"]) <= 60
    assert text.strip()
    assert (SPACE / "requirements.txt").read_text().split() == [f"voxtrait=={voxtrait.__version__}"]
    for path in (SPACE / "examples").iterdir():
        assert path.read_bytes() == (EXAMPLES / path.name).read_bytes()


@dataclass
class Space:
    """A page that runs, and a proxy that all it would fetch from elsewhere goes through."""

    url: str
    proxy: socket.socket

    def asked_elsewhere(self) -> bool:
        """Return whether anybody called the proxy."""
        self.proxy.setblocking(False)
        try:
            self.proxy.accept()[0].close()
        except BlockingIOError:
            return False
        return True


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Space]:
    folder = tmp_path_factory.mktemp("space")
    with closing(socket.create_server(("127.0.0.1", 0))) as proxy:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        elsewhere = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        environment = {
            **os.environ,
            "PYTHONPATH": str(Path(voxtrait.__file__).parents[1]),
            "GRADIO_SERVER_NAME": "127.0.0.1",
            "GRADIO_SERVER_PORT": str(port),
            "TMPDIR": str(folder),
            **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), elsewhere),
            **dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost"),
        }
        log = folder / "log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, SPACE / "app.py"], cwd=folder, env=environment, stdout=file, stderr=file
            )
        try:
            end = time.monotonic() + 90
            while b"Running on" not in log.read_bytes():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < end
                time.sleep(0.1)
            yield Space(f"http://127.0.0.1:{port}", proxy)
        finally:
            process.terminate()
            process.wait(30)


CALL = """
import json, sys
from gradio_client import Client, handle_file
client = Client(sys.argv[1], verbose=False)
for path in sys.argv[2:]:
    try:
        print(json.dumps(client.predict(handle_file(path), api_name="/predict")))
    except Exception as error:
        print(json.dumps(str(error)))
"""


def test_a_program_asks_the_page(space: Space) -> None:
    paths = [EXAMPLES / name for name in ("interview.m4a", "silence.wav", "README.md")]
    # In a process of its own: the client leaves threads and sockets to its end.
    done = subprocess.run(
        [sys.executable, "-c", CALL, space.url, *paths],
        env={**os.environ, "NO_PROXY": "127.0.0.1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    interview, silence, readme = map(json.loads, done.stdout.splitlines())
    expected = voxtrait.predict(EXAMPLES / "interview.m4a", segments=True, speakers=True)
    words, genders, ages, timeline, speakers, segments = interview
    assert expected.gender is not None
    assert expected.age is not None
    assert f"**{expected.age.low:.0f} and {expected.age.high:.0f}**" in words
    probabilities = {row["label"]: row["confidence"] for row in genders["confidences"]}
    assert probabilities["female"] == pytest.approx(expected.gender.female, abs=1e-4)
    assert [row[0] for row in ages["data"]] == list(expected.age.groups)
    assert [row[0] for row in speakers["data"]] == ["S1", "S2"]
    assert len(segments["data"]) == timeline.count("<span title") == len(expected.segments or ())
    assert silence[0].startswith("## No speech")
    assert silence[5]["data"] == []
    assert readme == "README.md is not an audio or video file that can be read."


def test_a_person_uses_the_page_and_nothing_comes_from_elsewhere(space: Space) -> None:
    elsewhere: list[str] = []

    def allow(route: Route) -> None:
        if route.request.url.startswith((space.url, "data:", "blob:")):
            route.continue_()
        else:
            elsewhere.append(route.request.url)
            route.abort()

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page()
        page.route("**/*", allow)
        page.goto(space.url)
        page.get_by_text("interview.m4a").first.click()
        page.get_by_role("button", name="Listen").click()
        page.get_by_text("2 voices together").wait_for(timeout=60_000)
        assert page.get_by_text("What it cannot know").is_visible()
        assert page.get_by_text("S2").first.is_visible()
        browser.close()
    assert elsewhere == []
    assert not space.asked_elsewhere()
    assert httpx.get(f"{space.url}/config", trust_env=False).json()["analytics_enabled"] is False
