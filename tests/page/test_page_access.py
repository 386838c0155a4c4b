from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from page_toys import PATIENCE, visit
from service_toys import EXAMPLES, running_service

KEY = "open sesame 1234567890"

#: The controls of the page that are shown, each with its accessible name.
_NAMES = """() => {
  const controls = "a, button, input, select, progress, [role=slider], [role=img], [role=meter]";
  const labels = (element) => [...(element.labels ?? [])].map((label) => label.textContent).join(" ");
  return [...document.querySelectorAll(controls)]
    .filter((element) => element.checkVisibility())
    .map((element) => [element.outerHTML.slice(0, 80),
      element.getAttribute("aria-label") || labels(element) || element.textContent.trim()]);
}"""

#: The contrast of what matches a selector: of its text, or of the named colour, to what lies behind it.
_CONTRAST = """([selector, property]) => {
  const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const luminance = (colour) => channels(colour).slice(0, 3).map((value) => value / 255)
    .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
    .reduce((sum, value, i) => sum + value * [0.2126, 0.7152, 0.0722][i], 0);
  const element = document.querySelector(selector);
  let behind = property === "color" ? element : element.parentElement;
  while (channels(getComputedStyle(behind).backgroundColor)[3] === 0) behind = behind.parentElement;
  const [light, dark] = [getComputedStyle(element)[property], getComputedStyle(behind).backgroundColor]
    .map(luminance).sort((a, b) => b - a);
  return (light + 0.05) / (dark + 0.05);
}"""

_TEXTS = [
    *(
        ".lead",
        ".private",
        "h3",
        "h4",
        ".facts",
        ".panel p",
        "#record",
        "#choose",
        ".play",
        "#theme",
        "footer",
    ),
    *(".turns .when", ".turns small", ".axis span", ".zone span", ".legend", ".time", ".gutter", ".about dd"),
]
_MARKS = [
    (".swatch.woman", "backgroundColor"),
    (".curve", "stroke"),
    (".bars .woman", "fill"),
    (".bars .man", "fill"),
    (".bars .unsure", "fill"),
    (".playhead", "backgroundColor"),
    ("#choose", "borderTopColor"),
]


def focused(page: Page) -> str:
    return str(
        page.evaluate(
            """() => { const { activeElement: at } = document;
              return at.getAttribute("aria-label") || at.textContent.trim() || at.tagName; }"""
        )
    )


def overflow(page: Page) -> int:
    return int(page.evaluate("() => document.documentElement.scrollWidth - innerWidth"))


def test_the_keyboard_alone_is_enough(browser: Browser, page_address: str) -> None:
    with visit(browser, page_address) as visitor:
        page = visitor.page
        visitor.hears(EXAMPLES / "interview.m4a")
        seen: list[str] = []
        for _ in range(40):
            page.keyboard.press("Tab")
            seen.append(focused(page))
            if seen[-1] == "Copy JSON":
                break
            outline = page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle")
            assert outline == "solid", seen[-1]
        assert seen[0] == "Skip to the results"
        order = [
            *("Record", "Choose files", "Remove interview.m4a", "Details of interview.m4a", "Play"),
            *("Position in the recording", "Play the first turn of S1", "Download as JSON", "Copy JSON"),
        ]
        assert [name for name in seen if name in order] == order
        slider = page.get_by_role("slider")
        slider.press("ArrowRight")
        expect(slider).to_have_attribute("aria-valuenow", "5.0")
        assert "S1: sounds like a woman" in (slider.get_attribute("aria-valuetext") or "")
        slider.press("End")
        expect(slider).to_have_attribute("aria-valuenow", "28.7")
        slider.press("Home")
        slider.press(" ")
        expect(page.get_by_role("button", name="Pause", exact=True)).to_be_visible()
        page.locator(".turns button").nth(1).press("Enter")
        expect(page.locator(".turns button").nth(1)).to_have_attribute("aria-current", "true")
        details = page.get_by_role("button", name="Details of interview.m4a")
        details.press("Enter")
        expect(details).to_have_attribute("aria-expanded", "false")
        expect(slider).to_be_hidden()
        page.get_by_role("button", name="Remove interview.m4a").press("Enter")
        assert focused(page) == "Choose files"


def test_a_phone_scrolls_in_one_direction(browser: Browser, page_address: str) -> None:
    with visit(browser, page_address, viewport={"width": 360, "height": 740}) as visitor:
        page = visitor.page
        assert overflow(page) <= 0
        visitor.hears(EXAMPLES / "interview.m4a")
        expect(page.get_by_role("slider")).to_be_visible()
        assert overflow(page) <= 0
        page.get_by_role("button", name="Record", exact=True).click()
        expect(page.locator("#live .age-curve")).to_be_visible(timeout=PATIENCE)
        assert overflow(page) <= 0
        # As wide as a small window at 400 % zoom.
        page.set_viewport_size({"width": 320, "height": 256})
        assert overflow(page) <= 0


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_colours_have_contrast_and_controls_have_names(
    browser: Browser, page_address: str, theme: Any
) -> None:
    with visit(browser, page_address, color_scheme=theme) as visitor:
        page = visitor.page
        visitor.hears(EXAMPLES / "interview.m4a")
        expect(page.locator(".wave path.man")).to_be_attached()
        for selector in _TEXTS:
            assert page.evaluate(_CONTRAST, [selector, "color"]) >= 4.5, selector
        for selector, colour in _MARKS:
            assert page.evaluate(_CONTRAST, [selector, colour]) >= 3, selector
        names = page.evaluate(_NAMES)
        assert len(names) > 25
        assert [html for html, name in names if not name.strip()] == []


def test_the_theme_follows_the_system_until_it_is_chosen(browser: Browser, page_address: str) -> None:
    paper = "() => getComputedStyle(document.body).backgroundColor"
    with visit(browser, page_address, color_scheme="dark", reduced_motion="reduce") as visitor:
        page = visitor.page
        dark, button = page.evaluate(paper), page.get_by_role("button", name="Dark")
        expect(button).to_have_attribute("aria-pressed", "true")
        button.click()
        light = page.evaluate(paper)
        page.reload()
        expect(button).to_have_attribute("aria-pressed", "false")
        assert page.evaluate(paper) == light != dark
        page.route("**/v1/predict**", lambda _: None)
        visitor.give(EXAMPLES / "woman.mp3")
        moves = page.locator("progress").evaluate("(element) => getComputedStyle(element).animationName")
        assert moves == "none"


@pytest.fixture(scope="module")
def locked_address(workshop: Path, pitch: Path) -> Iterator[str]:
    """A service with two models that asks for a key."""
    folder = workshop / "locked-service"
    folder.mkdir()
    (folder / "keys").write_text(f"{KEY}\n")
    models = ("--model", "voxtrait-base", "--model", pitch)
    options: list[str | Path] = ["--workers", "1", "--api-key-file", folder / "keys", *models]
    with running_service(folder, *options) as service:
        yield service.url


def test_a_key_is_asked_for_and_stays_in_the_tab(browser: Browser, locked_address: str) -> None:
    with visit(browser, locked_address) as visitor:
        page = visitor.page
        field, note = page.get_by_label("API key"), page.locator("#key-note")
        field.fill("wrong")
        field.press("Enter")
        expect(note).to_contain_text("not the service’s")
        visitor.hears(EXAMPLES / "woman.mp3")
        assert visitor.words() == "The service asks for a key: enter it above, then try again."
        field.fill(KEY)
        page.get_by_role("button", name="Use key").click()
        expect(note).to_contain_text("The key is right")
        page.get_by_role("button", name="Try woman.mp3 again").click()
        expect(page.locator(".state")).to_contain_text("Sounds like a woman")
        with page.expect_download():
            page.get_by_role("button", name="Download as RTTM", exact=True).click()
        page.get_by_role("button", name="Record", exact=True).click()
        expect(page.locator("#live .figure").first).to_be_visible(timeout=PATIENCE)
        page.get_by_role("button", name="Stop").click()
        expect(page.locator("[data-state=done]")).to_have_count(2, timeout=PATIENCE)
        assert page.evaluate("() => JSON.stringify(localStorage)") == "{}"
        assert visitor.context.cookies() == []


def test_the_model_that_is_chosen_answers(browser: Browser, locked_address: str) -> None:
    with visit(browser, locked_address) as visitor:
        page = visitor.page
        page.get_by_label("API key").fill(KEY)
        page.get_by_role("button", name="Use key").click()
        choice = page.get_by_label("Model")
        expect(choice.locator("option:checked")).to_contain_text("voxtrait-base")
        choice.select_option("evaluation-pitch 0.1")
        expect(page.locator("#model-note")).to_have_text("For tests.")
        visitor.hears(EXAMPLES / "man.ogg")
        expect(page.locator(".facts")).to_contain_text("evaluation-pitch 0.1")
