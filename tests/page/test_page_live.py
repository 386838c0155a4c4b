from __future__ import annotations

import json
from pathlib import Path

from playwright.sync_api import Browser, WebSocketRoute, expect

from page_toys import PATIENCE, visit


def test_a_recording_is_answered_while_it_is_made_and_at_its_end(browser: Browser, page_address: str) -> None:
    with visit(browser, page_address) as visitor:
        page = visitor.page
        page.get_by_role("button", name="Record", exact=True).click()
        expect(page.get_by_role("button", name="Stop")).to_be_focused()
        # A woman speaks first in what the microphone hears.
        expect(page.locator("#live .now")).to_contain_text("sounds like a woman", timeout=PATIENCE)
        expect(page.locator("#live .figure").first).to_have_text("Sounds like a woman", timeout=PATIENCE)
        expect(page.locator("#live .age-curve")).to_be_visible()
        expect(page.locator("#live .levels rect").first).to_be_attached()
        expect(page.get_by_role("status").first).to_have_text("Sounds like a woman")
        page.wait_for_timeout(500)
        level = page.get_by_role("meter").get_attribute("aria-valuenow")
        clock = page.locator(".clock").inner_text()
        assert 0 < int(level or "0") <= 100
        assert int(clock.removeprefix("0:")) >= 3
        page.get_by_role("button", name="Stop").click()
        expect(page.locator("[data-state=done]")).to_have_count(1, timeout=PATIENCE)
        assert visitor.words().startswith("Sounds like a woman")
        expect(page.get_by_role("button", name="Record", exact=True)).to_be_visible()
        # The recording itself is there, to see, to hear and to take home.
        expect(page.locator(".wave path.woman")).to_be_attached()
        with page.expect_download() as coming:
            page.get_by_role("button", name="Download as JSON", exact=True).click()
        result = json.loads(Path(coming.value.path()).read_text())
        assert result["file"].startswith("Recording ")
        assert abs(result["duration"] - int(clock[2:])) < 3
        page.locator(".turns button").first.click()
        expect(page.get_by_role("button", name="Pause", exact=True)).to_be_visible()
        assert "POST /v1/predict" not in visitor.requests


def test_without_live_answers_the_recording_goes_on_and_is_heard_at_its_end(
    browser: Browser, page_address: str
) -> None:
    def refuse(socket: WebSocketRoute) -> None:
        error = {"code": "busy", "message": "There are too many live streams."}
        socket.on_message(lambda _: socket.send(json.dumps({"type": "error", "error": error})))

    with visit(browser, page_address) as visitor:
        page = visitor.page
        page.route_web_socket("**/v1/stream", refuse)
        page.get_by_role("button", name="Record", exact=True).click()
        expect(page.locator("#live [role=alert]")).to_contain_text("There are too many live streams.")
        expect(page.locator(".clock")).to_have_text("0:03", timeout=PATIENCE)
        page.get_by_role("button", name="Stop").click()
        expect(page.locator("[data-state=done]")).to_have_count(1, timeout=PATIENCE)
        assert "POST /v1/predict" in visitor.requests


def test_without_a_microphone_the_page_says_what_to_do(browser: Browser, page_address: str) -> None:
    with visit(browser, page_address) as visitor:
        refusal = "Promise.reject(new DOMException('', 'NotAllowedError'))"
        visitor.page.evaluate(f"() => {{ navigator.mediaDevices.getUserMedia = () => {refusal}; }}")
        visitor.page.get_by_role("button", name="Record", exact=True).click()
        expect(visitor.page.locator("#record-fault")).to_contain_text("Allow it next to the address")
        expect(visitor.page.get_by_role("button", name="Record", exact=True)).to_be_enabled()
