"""Compressed audio, and the audio of videos, through PyAV."""

from __future__ import annotations

import ctypes
from collections.abc import Generator, Iterator
from typing import Any, Final, NamedTuple

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard
from numpy.typing import NDArray

from ..errors import AudioError
from ..results import Problem
from .headers import Header, mp3_length, ogg_is_cut
from .inputs import ByteReader
from .pipe import BytePipe
from .samples import Chunk, check_format, tell_if_cut, to_float

__all__ = ["read_libav", "read_webm"]

#: The containers that may be read. None of them opens another file or address, as playlists do
#: (hls, dash, concat, sdp, ...), and none takes a text or a picture for audio.
_CONTAINERS: Final = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dsf,dts,dtshd,dv,eac3,flac,flv,ircam,live_flv,loas,matroska,mlp,mov,"
    "mp3,mpc,mpc8,mpeg,mpegts,mxf,nistsphere,nut,ogg,qcp,rm,sox,tak,truehd,tta,voc,w64,wav,wtv,wv,xwma"
)

#: Containers whose duration stands in a header or in the last page; of others libav guesses it.
_TRUE_DURATION: Final = frozenset(
    {"ape", "asf", "avi", "caf", "flac", "flv", "matroska", "mov", "ogg", "tta", "w64", "wav", "wv"}
)

#: Containers whose times show a gap. In Matroska and MP4 that is silence which was not sent, or
#: sound that starts after the picture; in FLAC and Ogg it is a loss.
_SILENT_GAPS: Final = frozenset({"matroska", "mov"})
_LOST_GAPS: Final = frozenset({"flac", "ogg"})

#: Gaps in seconds: below, rounding; above, a broken clock.
_SHORTEST_GAP: Final = 0.1
_LONGEST_GAP: Final = 600.0

#: A lossy decoder overshoots full scale, but not so far, unless its data are damaged.
_LOUDEST: Final = 4.0

#: Seconds in a chunk of what is read as it arrives: every frame, for none is that short.
_AT_ONCE: Final = 0.001

_TYPES: Final[dict[str, type[np.generic]]] = {
    "u8": np.uint8, "s16": np.int16, "s32": np.int32, "flt": np.float32, "dbl": np.float64
}  # fmt: skip


def read_libav(
    source: ByteReader, header: Header, name: str, warnings: list[Problem]
) -> Generator[Chunk, None, None]:
    """Yield the best audio stream in chunks of about a second, each good until the next is drawn.

    Raises:
        AudioError: ``not_audio``, ``corrupt``, ``no_audio_stream``, ``bad_header``, ``not_readable``.
    """
    source.seek(0)
    options = {"format_whitelist": _CONTAINERS, "protocol_whitelist": "none"}
    try:
        container = av.open(source, "r", options=options, metadata_errors="ignore")
    except av.FFmpegError as error:
        raise _unreadable(name, header) from error
    with container:
        reading = _Reading(container, _best_stream(container, name))
        declared = _declared_seconds(reading, source)
        yield from _gather(reading, name, 1.0)
    if source.error is not None:
        return
    if not reading.seconds and (reading.failures or declared):
        raise _unreadable(name, header)
    if reading.seconds:
        _warn(reading, declared, source, header, name, warnings)


def read_webm(source: BytePipe, name: str, warnings: list[Problem]) -> Generator[Chunk, None, None]:
    """Yield the sound of a WebM that is still being written, frame by frame as it arrives.

    Raises:
        AudioError: ``not_audio``, ``empty``, ``no_audio_stream``, ``bad_header``, ``not_readable``.
    """
    # Nothing is probed: it would read far ahead. ``nobuffer`` among its flags would lose the first frame.
    options = {"format_whitelist": "matroska,webm", "protocol_whitelist": "none"}
    try:
        container = av.open(source, "r", format="matroska", options=options, metadata_errors="ignore")
    except av.FFmpegError as error:
        if not source.taken:
            raise AudioError("empty", f"{name} holds no sound: not one byte came.") from error
        raise AudioError("not_audio", f"{name} is not WebM: its first bytes are something else.") from error
    with container:
        reading = _Reading(container, _best_stream(container, name))
        yield from _gather(reading, name, _AT_ONCE)
    if not reading.seconds:
        raise AudioError("empty", f"{name} holds no sound: it has a header and no samples.")
    _warn_of_damage(reading, name, warnings)


def _warn_of_damage(reading: _Reading, name: str, warnings: list[Problem]) -> None:
    if reading.lost:
        lost = f"{name} is damaged: {reading.lost} piece(s) of it could not be decoded."
        warnings.append(Problem("damaged", lost))
    if reading.broken:
        warnings.append(
            Problem("truncated", f"{name} breaks off after {reading.seconds:.1f} s: {reading.broken}.")
        )


def _warn(
    reading: _Reading, declared: float, source: ByteReader, header: Header, name: str, warnings: list[Problem]
) -> None:
    _warn_of_damage(reading, name, warnings)
    if reading.broken:
        return
    if header.declared is not None:
        declared = reading.seconds * header.declared
    if reading.format == "ogg" and ogg_is_cut(source):
        cut = f"{name} breaks off after {reading.seconds:.1f} s: its last page is not whole."
        warnings.append(Problem("truncated", cut))
    else:
        tell_if_cut(max(reading.seconds, reading.other_seconds), declared, name, warnings)


def _unreadable(name: str, header: Header) -> AudioError:
    if header.known:
        return AudioError("corrupt", f"{name} is damaged or cut off: no sound in it can be decoded.")
    return AudioError("not_audio", f"{name} is not an audio or video file that can be read.")


def _best_stream(container: InputContainer, name: str) -> AudioStream:
    if not container.streams.audio:
        raise AudioError("no_audio_stream", f"{name} has no audio stream.")
    best = container.streams.best("audio")
    stream = best if isinstance(best, AudioStream) else container.streams.audio[0]
    codec: Any = stream.codec_context
    if codec is None:
        raise AudioError("not_readable", f"{name} has sound in a codec that cannot be decoded.")
    if codec.name == "flac":
        # Without its checksums a damaged frame would be heard as noise.
        codec.options = {"err_detect": "crccheck+explode"}
    return stream


class _Format(NamedTuple):
    """How a frame holds its samples; ``planar`` ones have a plane for each channel."""

    rate: int
    channels: int
    dtype: type[np.generic]
    planar: bool


class _Held:
    """Frames of one format, one after the other.

    They are copied at once, into memory that is used again: a decoder whose frames are set free writes the
    next ones where the cache still holds the last.

    Attributes:
        format: of all frames.
        sizes: samples of each frame.
        length: of all.
    """

    def __init__(self, layout: _Format) -> None:
        self.format = layout
        self.sizes: list[int] = []
        self.length = 0
        self._width = np.dtype(layout.dtype).itemsize * (1 if layout.planar else layout.channels)
        self._bytes = np.empty((layout.channels if layout.planar else 1, 0), np.uint8)
        self._make_room(layout.rate * self._width)

    def _make_room(self, size: int) -> None:
        # Planes begin at multiples of 64 bytes, so that samples of any type can be seen in them.
        bigger = np.empty((len(self._bytes), size + -size % 64), np.uint8)
        bigger[:, : self._bytes.shape[1]] = self._bytes
        self._bytes = bigger
        self._planes = [row.data for row in bigger]

    def append(self, frame: AudioFrame) -> None:
        count = frame.samples
        start = self.length * self._width
        size = count * self._width
        end = start + size
        if end > self._bytes.shape[1]:
            self._make_room(2 * end)
        planes: Any = frame.planes
        for index, held in enumerate(self._planes):
            plane = planes[index]
            # A plane may be longer than what it holds.
            held[start:end] = plane if plane.buffer_size == size else memoryview(plane)[:size]
        self.sizes.append(count)
        self.length += count

    def take(self) -> NDArray[Any]:
        """Return all samples, of shape (samples, channels), good until the next frame is appended."""
        samples = self._bytes[:, : self.length * self._width].view(self.format.dtype)
        self.sizes, self.length = [], 0
        return samples.T if self.format.planar else samples.reshape(-1, self.format.channels)


class _Reading:
    """One pass over the frames of a stream, and what happened on the way.

    Attributes:
        format: the container.
        seconds: length of what was decoded, gaps included.
        other_seconds: how far the other streams reach: sound may end before the picture does.
        failures: pieces that could not be decoded.
        lost: those of them that were followed by sound, and gaps that are a loss.
        broken: why the container could not be read to its end, or empty.
    """

    def __init__(self, container: InputContainer, stream: AudioStream) -> None:
        self.container = container
        self.stream = stream
        self.format = container.format.name.partition(",")[0]
        self.start = (container.start_time or 0) / av.time_base
        self._verbatim = stream.codec_context.name.startswith("pcm_")
        self._shows_gaps = self.format in _SILENT_GAPS | _LOST_GAPS
        self.seconds = self.other_seconds = 0.0
        self.failures = self.lost = 0
        self.broken = ""

    def frames(self) -> Iterator[AudioFrame]:
        """Yield the frames; a piece that cannot be decoded is counted and left out."""
        decode = self.stream.codec_context.decode
        pending = 0
        for packet in self._packets():
            try:
                frames = decode(packet)
            except av.FFmpegError:
                self.failures += 1
                pending += 1
                continue
            if pending and frames:
                if self.seconds and packet.size:
                    self.lost += pending
                pending = 0
            yield from frames

    def _packets(self) -> Iterator[Packet[Any]]:
        streams = [self.stream, *self.container.streams.video] if self.format == "matroska" else [self.stream]
        for other in self.container.streams:
            if other not in streams:
                other.discard = Discard.all
        try:
            if len(streams) == 1:
                yield from self.container.demux(streams)
                return
            for packet in self.container.demux(streams):
                if packet.stream is self.stream:
                    yield packet
                elif packet.pts is not None:
                    end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                    self.other_seconds = max(self.other_seconds, end - self.start)
        except av.FFmpegError as error:
            self.failures += 1
            self.broken = error.strerror or type(error).__name__

    def gap_before(self, frame: AudioFrame) -> float:
        """Return the seconds of silence that belong before a frame."""
        if not self._shows_gaps or (time := frame.time) is None:
            return 0.0
        gap = time - self.start - self.seconds
        if not _SHORTEST_GAP < gap < _LONGEST_GAP:
            return 0.0
        self.lost += self.format in _LOST_GAPS
        return gap

    def to_sound(self, held: _Held) -> NDArray[np.float32]:
        """Take what is held; the bursts that a lossy decoder makes of damage are silenced and counted."""
        sizes = held.sizes
        sound = to_float(held.take())
        if self._verbatim or not sound.size or _peak(sound) < _LOUDEST:
            return sound
        for part in np.split(sound, np.cumsum(sizes)[:-1]):
            if not _peak(part) < _LOUDEST:
                part[:] = 0
                self.lost += 1
        return sound


def _peak(sound: NDArray[np.float32]) -> float:
    return max(float(sound.max(initial=0.0)), -float(sound.min(initial=0.0)))


def _declared_seconds(reading: _Reading, source: ByteReader) -> float:
    """Return the length that the file claims, or 0."""
    if reading.format == "mp3":
        position = source.tell()
        length = mp3_length(source)
        source.seek(position)
        return length.samples / length.rate if length else 0.0
    if reading.format not in _TRUE_DURATION:
        return 0.0
    stream, container = reading.stream, reading.container
    claims = []
    if stream.duration is not None and stream.time_base is not None:
        claims.append(float(stream.duration * stream.time_base))
    if container.duration is not None:
        claims.append(container.duration / av.time_base)
    return min(claims, default=0.0)


def _gather(reading: _Reading, name: str, seconds: float) -> Iterator[Chunk]:
    """Join frames, of some 20 ms each, to chunks of at least so many seconds."""
    held: _Held | None = None
    seen: tuple[int, str, str] | None = None
    odd = False
    for frame in reading.frames():
        kind = (frame.sample_rate, frame.format.name, frame.layout.name)
        if odd or kind != seen:
            odd = _keep_layout(frame)
        if held is None or kind != seen:
            layout = _format_of(frame, name)
            if held is not None and held.length:
                yield Chunk(held.format.rate, reading.to_sound(held))
            held, seen = _Held(layout), kind
        gap = reading.gap_before(frame)
        if gap:
            if held.length:
                yield Chunk(layout.rate, reading.to_sound(held))
            for part in _silence(gap, layout.rate, layout.channels):
                yield Chunk(layout.rate, part)
        held.append(frame)
        reading.seconds += gap + frame.samples / layout.rate
        if held.length >= seconds * layout.rate:
            yield Chunk(layout.rate, reading.to_sound(held))
    if held is not None and held.length:
        yield Chunk(layout.rate, reading.to_sound(held))


def _silence(seconds: float, rate: int, channels: int) -> Iterator[NDArray[np.float32]]:
    left = round(seconds * rate)
    while left > 0:
        yield np.zeros((min(left, rate), channels), np.float32)
        left -= rate


def _format_of(frame: AudioFrame, name: str) -> _Format:
    rate, channels, kind = frame.sample_rate, frame.layout.nb_channels, frame.format.name
    check_format(rate, channels, name)
    dtype = _TYPES.get(kind.removesuffix("p"))
    if dtype is None:
        raise AudioError("not_readable", f"{name} has samples of the type {kind}, which cannot be read.")
    return _Format(rate, channels, dtype, kind.endswith("p"))


def _keep_layout(frame: AudioFrame) -> bool:
    """Keep the layout of a frame if it is an unusual one, and tell so."""
    # Up to PyAV 19.0 a frame and its ``layout`` both free the channel map of an unusual layout
    # (right before left, say), and the process dies. Never freeing the latter costs 50 bytes.
    # For the same reason ``channels`` and ``layout`` of the codec must not be touched.
    name = frame.layout.name
    odd = " (" in name or "ambisonic" in name
    if odd:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(frame.layout))
    return odd
