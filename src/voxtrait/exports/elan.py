"""ELAN's annotation format, EAF 3.0: a tier a voice, and one each for gender and age.

The tiers are independent of one another and as in a TextGrid: those of the voices hold the whole label, those
called gender and age their part of it for all voices. The document points to the recording.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import quote
from xml.sax.saxutils import escape, quoteattr

from voxtrait.exports.segments import DocumentWriter, Tier, milliseconds, tiers_of
from voxtrait.exports.wording import name_bytes
from voxtrait.results import Prediction, Segment

__all__ = ["ElanWriter"]

_HEAD: Final = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="voxtrait" DATE="{date}" FORMAT="3.0" VERSION="3.0" \
xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" \
xsi:noNamespaceSchemaLocation="http://www.mpi.nl/tools/elan/EAFv3.0.xsd">
    <HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">
"""
_TAIL: Final = """\
    <LINGUISTIC_TYPE GRAPHIC_REFERENCES="false" LINGUISTIC_TYPE_ID="voice" TIME_ALIGNABLE="true"/>
</ANNOTATION_DOCUMENT>
"""


class ElanWriter(DocumentWriter):
    """One ``.eaf`` document."""

    name = "elan"
    suffixes = (".eaf",)
    suffix = ".eaf"
    media_type = "application/xml"

    def write_timeline(self, prediction: Prediction, segments: tuple[Segment, ...]) -> None:
        self.stream.write(_HEAD.format(date=datetime.now(UTC).isoformat(timespec="seconds")))
        self.stream.writelines(_media(prediction.file))
        self.stream.write("    </HEADER>\n")
        self.stream.writelines(_body(tiers_of(segments)))
        self.stream.write(_TAIL)


def _media(file: str) -> Iterator[str]:
    """Yield the element that points to a recording; bytes, arrays and pipes have no place to point to."""
    if file.startswith("<") and file.endswith(">"):
        return
    if "://" in file:
        url = quote(name_bytes(file), safe=":/")
    else:
        url = "file://" + quote(name_bytes(str(Path(file).absolute())))
    kind = mimetypes.guess_type(file)[0] or "unknown"
    yield f"        <MEDIA_DESCRIPTOR MEDIA_URL={quoteattr(url)} MIME_TYPE={quoteattr(kind)}/>\n"


def _body(tiers: list[Tier]) -> Iterator[str]:
    """Yield the time slots, in order of time and two of its own for each annotation, and the tiers."""
    segments = [segment for _, labels in tiers for segment, _ in labels]
    slots = sorted(
        (milliseconds(time), 2 * number + end)
        for number, segment in enumerate(segments)
        for end, time in enumerate((segment.start, segment.end))
    )
    yield "    <TIME_ORDER>\n"
    for time, slot in slots:
        yield f'        <TIME_SLOT TIME_SLOT_ID="ts{slot + 1}" TIME_VALUE="{time}"/>\n'
    yield "    </TIME_ORDER>\n"
    number = 0
    for name, labels in tiers:
        yield f'    <TIER LINGUISTIC_TYPE_REF="voice" TIER_ID={quoteattr(name)}>\n'
        for _, text in labels:
            number += 1
            yield (
                f'        <ANNOTATION>\n            <ALIGNABLE_ANNOTATION ANNOTATION_ID="a{number}" '
                f'TIME_SLOT_REF1="ts{2 * number - 1}" TIME_SLOT_REF2="ts{2 * number}">\n'
                f"                <ANNOTATION_VALUE>{escape(text)}</ANNOTATION_VALUE>\n"
                "            </ALIGNABLE_ANNOTATION>\n        </ANNOTATION>\n"
            )
        yield "    </TIER>\n"
