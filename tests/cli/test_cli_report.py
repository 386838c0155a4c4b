"""``voxtrait report`` on data sets of known answers, and its page in a real browser."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markupsafe import escape

from evaluation_toys import Terminal
from summaries_toys import answered, archive, dataset_in, unanswered
from voxtrait.summaries import ROW_COLUMNS

#: A folder that would be a tag, were it not escaped.
HOSTILE = "<img src=x onerror=console.error('bad')>&\"'"
DAYS = ("--day-pattern", r"(\d{4}-\d\d-\d\d)")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def heard(workshop: Path) -> Path:
    """A data set of two folders and ten days, and two files without an answer."""
    rows = [
        *archive(60),
        unanswered("/radio/north/silence.mp3", "no_speech"),
        unanswered("/radio/x.mp3", "error"),
    ]
    rows += [answered(f"/radio/{HOSTILE}/{number}.mp3", [(9.0, 0.99)]) for number in range(6)]
    return dataset_in(workshop / "reported", [rows[:30], rows[30:]]).folder


def test_the_summary_for_people(terminal: Terminal, heard: Path) -> None:
    out, err = terminal.run("report", heard, *DAYS)
    assert err == ""
    first = re.match(r"Women speak (\d+) % of the time \(95 % interval (\d+) to (\d+) %\)\.", out)
    assert first is not None
    value, low, high = map(int, first.groups())
    assert low < value < high
    assert "68: 66 with speech, 1 without, 1 not readable" in out
    assert "It cannot include" in out
    assert "twenties" in out
    assert "2024-03-10" in out


def test_the_summary_for_programs(terminal: Terminal, heard: Path) -> None:
    command = ("report", heard, *DAYS, "--format", "json", "--by", "folder")
    out, _ = terminal.run(*command)
    found = json.loads(out)
    assert found["files"] == {"all": 68, "ok": 66, "no_speech": 1, "error": 1}
    assert found["by"] == "folder"
    assert [row["folder"] for row in found["rows"]] == [".", HOSTILE, "north", "south"]
    assert set(found["rows"][0]) == {"folder", *ROW_COLUMNS}
    women = found["women"]["corrected"]
    assert 0 < women["low"] <= women["value"] <= women["high"] < 1
    assert sum(share["value"] for share in found["ages"].values()) == pytest.approx(1, abs=0.001)
    # The same answers come out of the same data set.
    assert terminal.run(*command)[0] == out


@pytest.mark.parametrize(("by", "rows"), [("file", 68), ("folder", 4), ("day", 10)])
def test_a_breakdown_as_csv(terminal: Terminal, heard: Path, by: str, rows: int) -> None:
    out, _ = terminal.run("report", heard, *DAYS, "--by", by, "--format", "csv")
    table = list(csv.DictReader(io.StringIO(out)))
    assert len(table) == rows
    assert list(table[0]) == [by, *ROW_COLUMNS]
    assert {bool(row["low"]) for row in table} <= ({False} if by == "file" else {True, False})


def test_days_of_the_data_set_and_of_a_table(terminal: Terminal, heard: Path, tmp_path: Path) -> None:
    out, _ = terminal.run("report", heard, "--day-column", "modified", "--format", "csv")
    assert len(out.splitlines()) == 2
    table = tmp_path / "shows.csv"
    shows = [f"{row['file']},2023-0{1 + number % 2}-01" for number, row in enumerate(archive(10))]
    table.write_text("\n".join(["file,aired", *shows]) + "\n")
    out, _ = terminal.run(
        "report", heard, "--day-column", "aired", "--table", table, "--by", "day", "--format", "csv"
    )
    assert [line.split(",")[0] for line in out.splitlines()] == ["day", "2023-01-01", "2023-02-01"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--format", "xml"), "error[usage]: There is no format 'xml'"),
        (("--by", "month"), "error[usage]: --by 'month'"),
        (("--by", "day"), "error[usage]: --by day needs"),
        ((*DAYS, "--day-column", "modified"), "error[usage]: Give --day-pattern or --day-column"),
        (("--table", "x.csv"), "error[usage]: --table x.csv needs --day-column"),
        (("--day-pattern", r"x(\d{8})"), "error[days]: --day-pattern 'x(\\d{8})' matches no file"),
        (("--day-pattern", r"\d+"), "error[usage]: --day-pattern '\\d+' needs one group"),
        (("--day-column", "size"), "error[days]: The column 'size' of the data set holds no dates"),
        (("-o", "."), "error[output]: . is a folder"),
        (("--model", "nowhere"), "error[bundle_not_found]"),
    ],
)
def test_what_makes_no_sense(terminal: Terminal, heard: Path, options: tuple[str, ...], says: str) -> None:
    assert terminal.complaint("report", heard, *options).startswith(says)


def test_a_folder_that_is_no_data_set(terminal: Terminal, tmp_path: Path) -> None:
    assert terminal.complaint("report", tmp_path).startswith("error[dataset]")
    silent = dataset_in(tmp_path / "silent", [[unanswered("/a/1.mp3", "no_speech")]]).folder
    page = tmp_path / "page.html"
    assert terminal.complaint("report", silent, "-o", page).startswith("error[nothing_to_do]")
    assert not page.exists()


@pytest.fixture(scope="module")
def page(workshop: Path, heard: Path) -> Path:
    from voxtrait.cli import run

    file = workshop / "reported.html"
    assert run(["report", str(heard), "-o", str(file), *DAYS]) == 0
    return file


def addresses_in(text: str) -> list[str]:
    """Return what the elements of a page point to."""
    found: list[str] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attrs: found.extend(  # type: ignore[method-assign]
        value or "" for name, value in attrs if name in ("src", "href", "xlink:href")
    )
    parser.feed(text)
    return found


def test_the_page_needs_nothing_else_and_escapes_names(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert not list(page.parent.glob(f".{page.name}*"))
    assert "<img" not in text
    assert addresses_in(text)
    assert all(address.startswith(("data:", "#")) for address in addresses_in(text))
    assert str(escape(HOSTILE)) in text
    assert text.count("<svg") == 3
    for said in ("What these figures mean", "cannot know", "noisy 8 kHz telephone", "SHA-256"):
        assert said in text


def browse(page: Path, *options: str) -> subprocess.CompletedProcess[str]:
    assert CHROMIUM is not None
    flags = ("--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr")
    apart = (f"--user-data-dir={page.parent / 'browser'}", "--host-resolver-rules=MAP * ~NOTFOUND")
    words = [CHROMIUM, *flags, *apart, *options, page.as_uri()]
    return subprocess.run(words, capture_output=True, text=True, timeout=90, check=True)


def asked_by_the_page(log: Path) -> list[str]:
    """Return the addresses that a page asked for, not those of the browser itself."""
    events = json.loads(log.read_text(encoding="utf-8"))["events"]
    found = [event.get("params", {}) for event in events]
    return [each["url"] for each in found if each.get("initiator", "not an origin") != "not an origin"]


@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here")
def test_the_page_in_a_browser(page: Path, tmp_path: Path) -> None:
    done = browse(page, "--dump-dom", f"--log-net-log={tmp_path / 'page.json'}", "--window-size=390,900")
    assert "CONSOLE" not in done.stderr
    assert asked_by_the_page(tmp_path / "page.json") == []
    assert done.stdout.count("<svg") == 3
    assert "<img" not in done.stdout
    # A page that asks for something and complains is found out.
    (tmp_path / "bad.html").write_text("<img src=http://127.0.0.1:9/x onerror=console.error(1)>")
    bad = browse(tmp_path / "bad.html", "--dump-dom", f"--log-net-log={tmp_path / 'bad.json'}")
    assert "CONSOLE" in bad.stderr
    assert asked_by_the_page(tmp_path / "bad.json") == ["http://127.0.0.1:9/x"]
