"""What docs/serve.md says of calling the service is done, word for word."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

import voxtrait
from service_toys import EXAMPLES, ROOT, Service, service_environment
from voice_toys import dialogue, wav

ADDRESS = "127.0.0.1:8000"
SNIPPETS = re.findall(r"(?s)```(\w+)\n(.*?)```", (ROOT / "docs" / "serve.md").read_text(encoding="utf-8"))


def of(language: str) -> list[str]:
    return [text for kind, text in SNIPPETS if kind == language]


def at(service: Service, text: str) -> str:
    """Return a snippet that calls the service that runs."""
    assert ADDRESS in text
    return text.replace(ADDRESS, service.url.removeprefix("http://"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the recordings that the snippets send."""
    for path in EXAMPLES.iterdir():
        shutil.copy(path, tmp_path)
    return tmp_path


def done(words: list[str], folder: Path) -> str:
    own = {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", "TMPDIR": os.environ.get("TMPDIR", "/tmp")}
    finished = subprocess.run(
        words,
        cwd=folder,
        env=service_environment(folder, **own),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def test_every_language_is_there() -> None:
    assert {kind for kind, _ in SNIPPETS} == {"bash", "python", "javascript"}
    assert (len(of("bash")), len(of("python")), len(of("javascript"))) == (2, 3, 3)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not here")
def test_the_shell(service: Service, folder: Path) -> None:
    for text in of("bash"):
        # Curl is content with refusals unless it is told that they are failures.
        curl = 'curl() { command curl --silent --show-error --fail-with-body "$@"; }\n'
        said = done(["bash", "-euo", "pipefail", "-c", curl + at(service, text)], folder)
        if "/v1/jobs" in text:
            assert said.count("event: job") >= 1
            assert '"state":"done"' in said
            assert "TextGrid" in (folder / "interview.TextGrid").read_text()[:200]
        else:
            answer, table = said.index('"speakers"'), said.index("file,status")
            assert answer < table
            assert ",male," in said[table:]


def test_python(service: Service, folder: Path) -> None:
    client, live, plain = (done([sys.executable, "-W", "error", "-c", at(service, text)], folder).splitlines()
                           for text in of("python"))  # fmt: skip
    assert [line.split()[0] for line in client] == ["S1", "S2", "woman.mp3", "man.ogg", "silence.wav"]
    assert client[2:] == ["woman.mp3 ok female", "man.ogg ok male", "silence.wav no_speech None"]
    expected = voxtrait.predict(EXAMPLES / "old-man.wav", segments=True)
    assert expected.gender is not None
    assert live[-1].split()[0] == expected.gender.label
    assert "'label': 'female'" in plain[0]


@pytest.fixture
def page(service: Service, tmp_path: Path) -> Iterator[Page]:
    """A page of the service's origin, with a file chosen, and a microphone that hears two voices."""
    (tmp_path / "microphone.wav").write_bytes(wav(dialogue(4)))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=[
                "--no-sandbox",
                "--use-fake-ui-for-media-stream",
                "--use-fake-device-for-media-stream",
                f"--use-file-for-fake-audio-capture={tmp_path / 'microphone.wav'}",
            ],
        )
        opened = browser.new_page()
        opened.set_default_timeout(60_000)
        # Of the service itself: the browser must know where the page comes from.
        opened.goto(f"{service.url}/healthz")
        opened.evaluate("document.body.innerHTML = '<input type=file>'")
        opened.set_input_files("input", EXAMPLES / "interview.m4a")
        yield opened
        browser.close()


def test_javascript(service: Service, page: Page) -> None:
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    outputs = []
    for text in of("javascript"):
        said.clear()
        page.evaluate(f"async () => {{ {at(service, text)} }}")
        outputs.append(list(said))
    predicted, job, live = outputs
    assert len(predicted) == len(voxtrait.predict(EXAMPLES / "interview.m4a", segments=True).segments or ())
    assert job[-2].split()[0] == "done"
    assert "label" in job[-1]
    assert len(live) > 3
    assert re.match(r"[\d.]+ (female|male|unsure|undefined)", live[-2])
    assert "label" in live[-1]
