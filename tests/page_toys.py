"""The service's page in a real browser, watched: what it asks for, and what it complains of."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

#: Milliseconds that a recording may take to be heard on a machine that is busy.
PATIENCE = 60_000
#: What a browser says of every answer that is no success; the page says it in words.
_REFUSED = "Failed to load resource"


@contextmanager
def chromium(microphone: Path) -> Iterator[Browser]:
    """Run Chromium with a microphone that hears a WAV file over and over."""
    arguments = [
        "--no-sandbox",
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={microphone}",
        "--autoplay-policy=no-user-gesture-required",
    ]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=arguments)
        yield browser
        browser.close()


def made(folder: Path, name: str, *options: str | Path) -> Path:
    """Return a file that ffmpeg makes."""
    where = folder / name
    subprocess.run(["ffmpeg", "-v", "error", "-y", *map(str, options), str(where)], check=True)
    return where


class Visitor:
    """Somebody who looks at the page, and notes what it should not do.

    Attributes:
        page: of the browser.
        requests: method and path of each request so far.
    """

    def __init__(self, browser: Browser, address: str, **context: Any) -> None:
        context = {"viewport": {"width": 1100, "height": 900}, **context}
        self.context = browser.new_context(**context)
        self.address = address
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.requests: list[str] = []
        self._strangers: set[str] = set()
        self._complaints: list[str] = []
        self.page.on("request", lambda request: self._note(request.method, request.url))
        self.page.on("websocket", lambda socket: self._note("GET", socket.url))
        self.page.on("console", self._listen)
        self.page.on("pageerror", lambda error: self._complaints.append(str(error)))
        self.page.goto(address)

    def _note(self, method: str, url: str) -> None:
        parts = urlsplit(url)
        self.requests.append(f"{method} {parts.path}")
        if parts.scheme not in ("blob", "data") and parts.hostname != "127.0.0.1":
            self._strangers.add(url)

    def _listen(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(_REFUSED):
            self._complaints.append(message.text)

    def give(self, *files: Path) -> None:
        """Choose files."""
        self.page.set_input_files("#files", [str(path) for path in files])

    def hears(self, *files: Path) -> None:
        """Choose files, and wait until each has its result or its refusal."""
        before = self.page.locator(".card").count()
        self.give(*files)
        ended = self.page.locator(".card[data-state=done], .card[data-state=failed]")
        expect(ended).to_have_count(before + len(files), timeout=PATIENCE)

    def words(self, card: int = 0) -> str:
        """Return what a card says in its head."""
        return self.page.locator(".card .state").nth(card).inner_text()

    def leave(self) -> None:
        """Close the page, which asked for nothing elsewhere and complained of nothing."""
        self.context.close()
        assert not self._strangers
        assert not self._complaints


@contextmanager
def visit(browser: Browser, address: str, **context: Any) -> Iterator[Visitor]:
    """Look at the page in a fresh context of the browser."""
    visitor = Visitor(browser, address, **context)
    try:
        yield visitor
    except BaseException:
        visitor.context.close()
        raise
    visitor.leave()
