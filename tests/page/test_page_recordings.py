from __future__ import annotations

import base64
import csv
import io
import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from page_toys import PATIENCE, made, visit
from service_toys import EXAMPLES
from voxtrait.labels import AGE_GROUPS, group_bounds

Json = dict[str, Any]


def answer(address: str, file: Path) -> Json:
    """Return what the service says of a recording to anybody."""
    query = {"segments": "true", "speakers": "true", "name": file.name}
    response = httpx.post(f"{address}/v1/predict", params=query, content=file.read_bytes(), timeout=60)
    assert response.status_code == 200
    return dict(response.json())


def drop(page: Page, *files: tuple[str, bytes]) -> None:
    """Drop files on the page, as a file manager does."""
    page.evaluate(
        """(files) => {
          const dataTransfer = new DataTransfer();
          for (const [name, content] of files) {
            const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
            dataTransfer.items.add(new File([bytes], name));
          }
          const how = { dataTransfer, bubbles: true, cancelable: true };
          document.body.dispatchEvent(new DragEvent("drop", how));
        }""",
        [[name, base64.b64encode(content).decode()] for name, content in files],
    )


def position(page: Page) -> float:
    return float(page.get_by_role("slider").get_attribute("aria-valuenow") or "nan")


def test_many_files_each_have_a_state_of_their_own(
    browser: Browser, page_address: str, tmp_path: Path
) -> None:
    picture = ("-f", "lavfi", "-i", "color=d=9:s=64x64:r=5")
    video = made(tmp_path, "video.mp4", *picture, "-i", EXAMPLES / "man.ogg", "-shortest")
    examples = [EXAMPLES / "woman.mp3", EXAMPLES / "silence.wav", video]
    with visit(browser, page_address) as visitor:
        drop(
            visitor.page,
            *((path.name, path.read_bytes()) for path in examples),
            ("<b>.mp3", b"no audio" * 99),
        )
        cards = visitor.page.locator(".card")
        expect(visitor.page.locator("[data-state=done]")).to_have_count(3, timeout=PATIENCE)
        expect(visitor.page.locator("[data-state=failed]")).to_have_count(1, timeout=PATIENCE)
        assert re.match(r"Sounds like a woman, (>?\d\d %) ?about \d\d", visitor.words(0))
        assert visitor.words(1) == "No speech found"
        assert visitor.words(2).startswith("Sounds like a man")
        assert visitor.words(3) == "<b>.mp3 is not an audio or video file that can be read."
        expect(cards.nth(3).locator("h3")).to_have_text("<b>.mp3")
        # None of many opens by itself; the whole head opens it.
        expect(visitor.page.locator(".result")).to_have_count(0)
        cards.nth(2).locator("h3").click(force=True)
        expect(cards.nth(2).get_by_role("slider")).to_be_visible()
        cards.nth(1).get_by_role("button", name="Remove silence.wav").click()
        expect(cards).to_have_count(3)


def test_the_result_shows_what_the_service_answered(browser: Browser, page_address: str) -> None:
    interview = EXAMPLES / "interview.m4a"
    said = answer(page_address, interview)
    with visit(browser, page_address) as visitor:
        page = visitor.page
        visitor.hears(interview)
        assert visitor.words() == "Two voices: a woman and a man"
        turns = page.locator(".turns button")
        expect(turns).to_have_count(len(said["segments"]))
        for place, segment in enumerate(said["segments"]):
            label = turns.nth(place).get_attribute("aria-label") or ""
            assert f": {segment['speaker']}, " in label
            assert f"about {segment['age']['years']:.0f} (" in label
        # A lane a voice, a block a segment, where it lies in time.
        assert page.locator(".lane").count() == 2
        blocks = page.locator(".lane rect")
        starts = sorted(float((blocks.nth(i).get_attribute("x") or "")[:-1]) for i in range(blocks.count()))
        expected = [100 * segment["start"] / said["duration"] for segment in said["segments"]]
        assert starts == pytest.approx(expected)
        seconds = {"female": 0.0, "male": 0.0, "unsure": 0.0}
        for segment in said["segments"]:
            seconds[segment["gender"]["label"]] += segment["end"] - segment["start"]
        share = round(100 * seconds["male"] / sum(seconds.values()))
        expect(page.locator(".shares")).to_contain_text(f"men {share} %")
        expect(page.locator(".facts")).to_contain_text(said["model"])
        expect(page.locator(".wave path.man")).to_be_attached()
        # The answer of one voice, chosen by name; of all together last.
        expect(page.locator(".estimate .figure").first).to_have_text("Sounds like a woman")
        page.get_by_label("Answer for").select_option("All voices together")
        expect(page.locator(".estimate .figure").first).to_have_text("Unsure")
        page.get_by_label("Answer for").select_option("S2")
        expect(page.locator(".estimate .figure").first).to_have_text("Sounds like a man")
        expect(page.locator(".zone")).to_be_visible()
        assert f"about {said['speakers'][1]['age']['years']:.0f} " in (
            page.locator(".age-curve").get_attribute("aria-label") or ""
        )


def test_a_turn_plays_from_its_start_to_its_end(browser: Browser, page_address: str) -> None:
    interview = EXAMPLES / "interview.m4a"
    turn = answer(page_address, interview)["segments"][2]
    with visit(browser, page_address) as visitor:
        page = visitor.page
        visitor.hears(interview)
        row = page.locator(".turns button").nth(2)
        row.click()
        expect(row).to_have_attribute("aria-current", "true")
        expect(page.get_by_role("button", name="Pause", exact=True)).to_be_visible()
        expect(page.locator(".turn")).to_contain_text(turn["speaker"])
        assert turn["start"] - 0.05 <= position(page) <= turn["end"]
        # It stops by itself, and there.
        expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()
        assert turn["end"] - 0.1 <= position(page) < turn["end"] + 0.5
        # A click on the timeline goes there.
        box = page.get_by_role("slider").bounding_box()
        assert box is not None
        page.get_by_role("slider").click(position={"x": box["width"] * 0.75, "y": 20})
        assert position(page) == pytest.approx(0.75 * 28.7, abs=0.2)


def test_downloads_are_what_the_service_writes(browser: Browser, page_address: str) -> None:
    interview = EXAMPLES / "interview.m4a"
    said = answer(page_address, interview)
    with visit(browser, page_address) as visitor:
        visitor.hears(interview)

        def download(title: str) -> tuple[str, str]:
            with visitor.page.expect_download() as coming:
                visitor.page.get_by_role("button", name=f"Download as {title}", exact=True).click()
            return coming.value.suggested_filename, Path(coming.value.path()).read_text()

        name, text = download("JSON")
        assert (name, json.loads(text)) == ("interview.json", said)
        name, text = download("RTTM")
        assert name == "interview.rttm"
        times = [(float(line.split()[3]), line.split()[7]) for line in text.splitlines() if "SPEAKER" in line]
        assert [start for start, _ in times] == [segment["start"] for segment in said["segments"]]
        name, text = download("CSV")
        assert name == "interview.csv"
        assert len(list(csv.DictReader(io.StringIO(text)))) >= len(said["segments"])
        formats = httpx.get(f"{page_address}/v1/server").json()["formats"]
        expect(visitor.page.locator(".downloads button")).to_have_count(len(formats) + 1)


@pytest.mark.parametrize("name", ["long.ogg", "of-a-length-that-no-browser-knows.wma"])
def test_a_long_recording_is_heard_as_a_job_that_is_then_forgotten(
    browser: Browser, page_address: str, tmp_path: Path, name: str
) -> None:
    silence = ("-af", "apad=whole_dur=910", "-ar", "8000")
    long = made(tmp_path, name, "-i", EXAMPLES / "woman.mp3", *silence)
    with visit(browser, page_address) as visitor:
        with visitor.page.expect_response(lambda found: found.request.method == "DELETE") as forgotten:
            visitor.hears(long)
        assert visitor.words().startswith("Sounds like a woman")
        assert forgotten.value.status == 204
        assert httpx.get(forgotten.value.url).status_code == 404
        expect(visitor.page.locator(".facts")).to_contain_text(re.compile("15:(09|10) long"))
        # What is removed while it is heard is given up.
        visitor.page.get_by_role("button", name=f"Remove {name}").click()
        with visitor.page.expect_response(lambda found: found.request.method == "DELETE") as given_up:
            visitor.give(long)
            expect(visitor.page.locator(".state")).to_contain_text(re.compile("queue|Listening, "))
            visitor.page.get_by_role("button", name=f"Remove {name}").click()
        assert given_up.value.status == 204
        expect(visitor.page.locator(".card")).to_have_count(0)


def test_a_busy_server_is_asked_again_and_a_lost_one_when_told(browser: Browser, page_address: str) -> None:
    problem = {"type": "about:blank", "title": "busy", "status": 429, "code": "busy", "detail": "Busy."}
    tries: list[str] = []

    def at_first(route: Route) -> None:
        tries.append(route.request.url)
        if len(tries) == 1:
            route.fulfill(status=429, headers={"Retry-After": "2"}, body=json.dumps(problem))
        elif len(tries) == 2:
            route.abort()
        else:
            route.continue_()

    with visit(browser, page_address) as visitor:
        visitor.page.route("**/v1/predict**", at_first)
        visitor.give(EXAMPLES / "woman.mp3")
        expect(visitor.page.locator(".state")).to_contain_text("The server is busy: trying again in")
        expect(visitor.page.locator(".state")).to_contain_text("The server does not answer")
        visitor.page.get_by_role("button", name="Try woman.mp3 again").click()
        expect(visitor.page.locator(".state")).to_contain_text("Sounds like a woman")
        assert len(tries) == 3


def test_what_the_browser_cannot_play_has_its_timeline_all_the_same(
    browser: Browser, page_address: str, tmp_path: Path
) -> None:
    odd = made(tmp_path, "odd.wma", "-i", EXAMPLES / "man.ogg")
    with visit(browser, page_address) as visitor:
        visitor.hears(odd)
        expect(visitor.page.locator(".player .note")).to_contain_text("cannot play the format")
        expect(visitor.page.get_by_role("button", name="Play", exact=True)).to_be_disabled()
        expect(visitor.page.locator(".turns button").first).to_be_disabled()
        expect(visitor.page.locator(".wave rect").first).to_be_attached()


def test_the_age_curve_keeps_the_mass_of_each_group(browser: Browser, page_address: str) -> None:
    shapes: list[list[float]] = [
        [0.0617, 0.1565, 0.2807, 0.2386, 0.1428, 0.077, 0.0278, 0.0085, 0.0064],
        [1, 0, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0.5, 0, 0, 0, 0.5, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0.02, 0.98],
    ]
    with visit(browser, page_address) as visitor:
        curves: list[list[float]] = visitor.page.evaluate(
            """async (all) => {
              const { ageDensity } = await import("/page/agecurve.js");
              return all.map((groups) => [...ageDensity(groups)]);
            }""",
            [dict(zip(AGE_GROUPS, shape, strict=True)) for shape in shapes],
        )
    for shape, cells in zip(shapes, curves, strict=True):
        assert min(cells) >= 0
        for mass, name in zip(shape, AGE_GROUPS, strict=True):
            first, end = (round(2 * years) for years in group_bounds(name))
            assert sum(cells[first:end]) / 2 == pytest.approx(mass, abs=1e-9)
    # No steps, as a histogram has them at 20, 30 and so on.
    assert max(abs(a - b) for a, b in pairwise(curves[0])) < max(curves[0]) / 10
