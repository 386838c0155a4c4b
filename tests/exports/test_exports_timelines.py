"""The formats of the timeline, read back by other programs' readers."""

from __future__ import annotations

import io
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from html import unescape
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import pympi
import pytest
import srt
import textgrids
import webvtt
from hypothesis import given, settings
from hypothesis import strategies as st
from pyannote.core import Annotation
from pyannote.core import Segment as Stretch
from timeline_toys import CALL, FEMALE, MALE, UNSURE, age, failed, quiet, spoken

from voxtrait.errors import UsageError
from voxtrait.exports import EXPORTS, format_of, get_writer
from voxtrait.results import GenderEstimate, Prediction, Segment, SpeakerSummary

FORMATS = [name for name, writer in EXPORTS.items() if writer.needs_timeline]
ONE = [name for name in FORMATS if not EXPORTS[name].holds_several]
LABEL = re.compile(
    r"(?P<voice>.+) (?P<gender>female|male|unsure) \(?(?:(?P<likelier>female|male) )?"
    r"(?P<probability>[\d.]+)\)?, age (?P<years>\d+) \((?P<low>\d+)-(?P<high>\d+)\)"
)


def written(name: str, *predictions: Prediction) -> str:
    stream = io.StringIO(newline="")
    writer = get_writer(name)(stream, segments=True)
    for prediction in predictions:
        writer.write(prediction)
    writer.finish()
    return stream.getvalue()


@dataclass(frozen=True)
class Heard:
    """A label as a reader of the format gives it; times in milliseconds."""

    start: int
    end: int
    voice: str
    text: str | None


def rttm_lines(text: str) -> list[dict[str, str]]:
    """Read RTTM strictly: ten fields a line, divided by one space."""
    names = (
        "type",
        "file",
        "channel",
        "start",
        "duration",
        "ortho",
        "subtype",
        "name",
        "confidence",
        "ahead",
    )
    rows = []
    for line in text.split("\n")[:-1]:
        assert line.split() == line.split(" ")
        rows.append(dict(zip(names, line.split(" "), strict=True)))
    assert text.endswith("\n") or not text
    return rows


def read_rttm(text: str) -> list[Heard]:
    annotation = Annotation()
    for number, row in enumerate(rttm_lines(text)):
        assert (row["channel"], row["ortho"], row["confidence"], row["ahead"]) == (
            "1",
            "<NA>",
            "<NA>",
            "<NA>",
        )
        if row["type"] == "SPKR-INFO":
            assert (row["start"], row["duration"]) == ("<NA>", "<NA>")
            continue
        assert (row["type"], row["subtype"]) == ("SPEAKER", "<NA>")
        start = float(row["start"])
        annotation[Stretch(start, start + float(row["duration"])), number] = unquote(row["name"])
    return [
        Heard(round(stretch.start * 1000), round(stretch.end * 1000), voice, None)
        for stretch, _, voice in annotation.itertracks(yield_label=True)
    ]


def grid_of(text: str) -> Any:
    grid = textgrids.TextGrid()
    grid.parse(text.encode())
    return grid


def read_textgrid(text: str) -> list[Heard]:
    grid = grid_of(text)
    found = []
    for name, tier in grid.items():
        assert tier[0].xmin == tier.xmin == grid.xmin == 0
        assert tier[-1].xmax == tier.xmax == grid.xmax > 0
        assert all(one.xmax == other.xmin for one, other in pairwise(tier))
        assert all(interval.dur > 0 for interval in tier)
        if name not in ("gender", "age"):
            found += [
                Heard(round(i.xmin * 1000), round(i.xmax * 1000), name, str(i.text)) for i in tier if i.text
            ]
    for part in ("gender", "age"):
        of_part = [(round(i.xmin * 1000), round(i.xmax * 1000)) for i in grid[part] if i.text]
        assert of_part == sorted((each.start, each.end) for each in found)
    return sorted(found, key=lambda each: each.start)


def elan_of(text: str) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.eaf"
        path.write_text(text, encoding="utf-8")
        return pympi.Elan.Eaf(str(path))


def read_elan(text: str) -> list[Heard]:
    eaf = elan_of(text)
    tiers = set(eaf.get_tier_names())
    assert all(
        list(eaf.get_linguistic_type_names()) == ["voice"] and not eaf.get_child_tiers_for(name)
        for name in tiers
    )
    found = [
        Heard(start, end, name, words)
        for name in tiers - {"gender", "age"}
        for start, end, words in eaf.get_annotation_data_for_tier(name)
    ]
    for part in ("gender", "age"):
        of_part = [(start, end) for start, end, _ in eaf.get_annotation_data_for_tier(part)]
        assert sorted(of_part) == sorted((each.start, each.end) for each in found)
    slots = [int(slot.get("TIME_VALUE", "")) for slot in ElementTree.fromstring(text).iter("TIME_SLOT")]
    assert slots == sorted(slots)
    assert len(slots) == 6 * len(found)
    return sorted(found, key=lambda each: each.start)


def read_audacity(text: str) -> list[Heard]:
    found = []
    for line in text.split("\n")[:-1]:
        start, end, words = line.split("\t")
        assert re.fullmatch(r"\d+\.\d{6}", start)
        assert re.fullmatch(r"\d+\.\d{6}", end)
        found.append(Heard(round(float(start) * 1000), round(float(end) * 1000), _voice(words), words))
    return found


def read_webvtt(text: str) -> list[Heard]:
    return [
        Heard(
            cue.start_time.in_milliseconds(),
            cue.end_time.in_milliseconds(),
            unescape(cue.voice or ""),
            unescape(cue.text),
        )
        for cue in webvtt.from_string(text).captions
    ]


def read_srt(text: str) -> list[Heard]:
    cues = list(srt.parse(text))
    assert [cue.index for cue in cues] == list(range(1, len(cues) + 1))
    return [
        Heard(
            round(cue.start.total_seconds() * 1000),
            round(cue.end.total_seconds() * 1000),
            _voice(cue.content),
            cue.content,
        )
        for cue in cues
    ]


def _voice(words: str) -> str:
    found = LABEL.fullmatch(words)
    assert found
    return found["voice"]


READERS: dict[str, Callable[[str], list[Heard]]] = {
    "rttm": read_rttm,
    "textgrid": read_textgrid,
    "elan": read_elan,
    "audacity": read_audacity,
    "webvtt": read_webvtt,
    "srt": read_srt,
}


def check(name: str, prediction: Prediction) -> None:
    """Read a document back and compare it with the segments."""
    heard = READERS[name](written(name, prediction))
    assert prediction.segments is not None
    assert len(heard) == len(prediction.segments)
    for found, segment in zip(heard, prediction.segments, strict=True):
        assert (found.start, found.end) == (round(segment.start * 1000), round(segment.end * 1000))
        assert found.voice == segment.speaker
        if found.text is None:
            continue
        words = LABEL.fullmatch(found.text)
        assert words
        surest = max(segment.gender.female, segment.gender.male)
        assert (words["voice"], words["gender"]) == (segment.speaker, segment.gender.label)
        assert float(words["probability"]) == pytest.approx(surest, abs=0.01)
        assert (words["probability"] == "1.00") == (surest == 1)
        assert (words["likelier"] is not None) == (words["gender"] == "unsure")
        ages = segment.age.years, segment.age.low, segment.age.high
        assert [int(words[part]) for part in ("years", "low", "high")] == [round(years) for years in ages]


def test_every_format_of_the_timeline_has_a_reader_here() -> None:
    assert set(READERS) == set(FORMATS)


@pytest.mark.parametrize("name", FORMATS)
def test_a_timeline_comes_back(name: str) -> None:
    check(name, spoken())


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("start", [86_399.5, 86_400.0, 359_999.99, 400_000.25])
def test_recordings_of_days(name: str, start: float) -> None:
    late = Segment(start, start + 2.0, MALE, age(40), "S1")
    check(name, spoken((CALL[0], late), duration=start + 3.0))


@st.composite
def timelines(draw: st.DrawFn) -> Prediction:
    gaps = draw(st.lists(st.tuples(st.integers(0, 500), st.integers(1, 3000)), max_size=12))
    names = draw(
        st.lists(st.sampled_from(["S1", "S2", "S10", "Zoë", "李", "A&B", "x<y>z", "O'Hara"]), min_size=1)
    )
    segments, reached = [], 0
    for number, (gap, size) in enumerate(gaps):
        start, reached = reached + gap, reached + gap + size
        female = draw(st.floats(0, 1))
        label = draw(st.sampled_from(["unsure", "female" if female >= 0.5 else "male"]))
        gender = GenderEstimate(label, female, 1 - female)  # type: ignore[arg-type]
        estimate = age(draw(st.floats(10, 90)))
        segments.append(Segment(start / 100, reached / 100, gender, estimate, names[number % len(names)]))
    duration = draw(st.none() | st.just(reached / 100) | st.just(reached / 200) | st.just(reached / 100 + 5))
    return spoken(tuple(segments), duration=duration)


@pytest.mark.parametrize("name", FORMATS)
@given(prediction=timelines())
@settings(max_examples=25)
def test_any_timeline_comes_back(name: str, prediction: Prediction) -> None:
    check(name, prediction)


@pytest.mark.parametrize("name", FORMATS)
def test_no_speech_is_an_empty_document(name: str) -> None:
    for duration in (3.0, 0.0, None):
        assert READERS[name](written(name, quiet(duration))) == []


@pytest.mark.parametrize("name", FORMATS)
def test_of_an_error_nothing_is_written(name: str) -> None:
    assert written(name, failed()) == ""


@pytest.mark.parametrize("name", FORMATS)
def test_a_result_without_a_timeline_is_refused(name: str) -> None:
    bare = Prediction("a.wav", "ok", 3.0, 2.0, FEMALE, age(30), "toy 1.0")
    with pytest.raises(UsageError, match=rf"a\.wav has no timeline, which {name} is made of.*--segments"):
        written(name, bare)


@pytest.mark.parametrize("name", ONE)
def test_a_document_holds_one_recording(name: str) -> None:
    assert written(name, failed(), spoken(), failed("d.wav"))
    with pytest.raises(UsageError, match=r"b\.wav would be another: give a folder"):
        written(name, spoken(), quiet())


def test_extensions_of_the_timeline_formats() -> None:
    wanted = {
        "rttm": "rttm",
        "TextGrid": "textgrid",
        "eaf": "elan",
        "vtt": "webvtt",
        "srt": "srt",
        "txt": "table",
    }
    assert {suffix: format_of(Path(f"x.{suffix}")) for suffix in wanted} == wanted


def test_rttm_says_what_nist_calls_the_voices() -> None:
    young = Segment(14.0, 15.0, FEMALE, age(9.0, "child"), "S3")
    open_ = Segment(16.0, 17.0, UNSURE, age(40.0), "S4")
    voices = {
        row["name"]: row["subtype"]
        for row in rttm_lines(written("rttm", spoken((*CALL, young, open_))))
        if row["type"] == "SPKR-INFO"
    }
    assert voices == {"S1": "adult_female", "S2": "adult_male", "S3": "child", "S4": "unknown"}


def test_rttm_believes_the_summary_of_a_voice_over_its_segments() -> None:
    summary = SpeakerSummary("S1", 2.75, MALE, age(50))
    prediction = Prediction("a.wav", "ok", 5.0, 3.0, MALE, age(50), "toy 1.0", CALL[:1], (summary,))
    assert "adult_male S1" in written("rttm", prediction)


@given(st.binary(min_size=1, max_size=20).filter(lambda name: not set(name) & set(b"/\0")))
def test_any_name_is_one_field_of_rttm(raw: bytes) -> None:
    name = raw.decode("utf-8", "surrogateescape")
    (row, *_) = rttm_lines(written("rttm", spoken(file=f"/a/{name}.wav")))
    assert unquote(row["file"], errors="surrogateescape") == name


def test_recordings_of_one_name_stay_apart_in_rttm() -> None:
    rows = rttm_lines(written("rttm", spoken(file="x/a.mp3"), spoken(file="y/a.mp3"), spoken(file="b.wav")))
    assert list(dict.fromkeys(row["file"] for row in rows)) == ["a", "y/a.mp3", "b"]


def test_a_quote_is_doubled_in_a_textgrid() -> None:
    text = written("textgrid", spoken((Segment(1, 2, FEMALE, age(30), 'Ann "B" = C'),)))
    assert '        name = "Ann ""B"" = C"\n' in text
    assert '            text = "Ann ""B"" = C female 0.98, age 30 (22-40)"\n' in text


@pytest.mark.parametrize("name", ONE)
def test_a_line_break_in_a_name_breaks_nothing(name: str) -> None:
    odd = Segment(1, 2, FEMALE, age(30), "a\n\n2\t\x1b --> \udce9")
    text = written(name, spoken((odd,)))
    text.encode()
    (found,) = READERS[name](text)
    assert (found.start, found.end) == (1000, 2000)
    assert found.text is not None
    assert "\\n\\n2\\t\\x1b" in found.text


def test_a_voice_called_as_another_tier() -> None:
    segments = (Segment(1, 2, FEMALE, age(30), "gender"), Segment(2, 3, MALE, age(30), "age"))
    assert list(grid_of(written("textgrid", spoken(segments)))) == [
        "gender (voice)",
        "age (voice)",
        "gender",
        "age",
    ]
    assert sorted(elan_of(written("elan", spoken(segments))).get_tier_names()) == [
        "age", "age (voice)", "gender", "gender (voice)",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("file", "url", "kind"),
    [
        ("/data/Zoë & <co>.wav", "file:///data/Zo%C3%AB%20%26%20%3Cco%3E.wav", "audio/x-wav"),
        ('/data/"q".mp3', "file:///data/%22q%22.mp3", "audio/mpeg"),
        ("/data/caf\udce9.wav", "file:///data/caf%E9.wav", "audio/x-wav"),
        ("s3://bucket/a b.wav", "s3://bucket/a%20b.wav", "audio/x-wav"),
        ("/data/x.tar::a.zzz", "file:///data/x.tar%3A%3Aa.zzz", "unknown"),
    ],
)
def test_elan_finds_the_recording(file: str, url: str, kind: str) -> None:
    (media,) = elan_of(written("elan", spoken(file=file))).get_linked_files()
    assert (media["MEDIA_URL"], media["MIME_TYPE"]) == (url, kind)


def test_elan_has_no_place_for_a_pipe() -> None:
    assert elan_of(written("elan", spoken(file="<stdin>"))).get_linked_files() == []
