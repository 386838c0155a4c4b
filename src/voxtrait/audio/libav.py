"""Compressed audio, and the audio of videos, through PyAV."""

from __future__ import annotations

import ctypes
from collections.abc import Generator, Iterator
from typing import Any, Final

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
from .samples import Chunk, check_format, tell_if_cut, to_float

__all__ = ["read_libav"]

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

_TYPES: Final[dict[str, type[np.generic]]] = {
    "u8": np.uint8, "s16": np.int16, "s32": np.int32, "flt": np.float32, "dbl": np.float64
}  # fmt: skip


def read_libav(
    source: ByteReader, header: Header, name: str, warnings: list[Problem]
) -> Generator[Chunk, None, None]:
    """Yield the best audio stream in chunks of about a second.

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
        yield from _gather(reading, name)
    if source.error is not None:
        return
    if not reading.seconds and (reading.failures or declared):
        raise _unreadable(name, header)
    if reading.seconds:
        _warn(reading, declared, source, header, name, warnings)


def _warn(
    reading: _Reading, declared: float, source: ByteReader, header: Header, name: str, warnings: list[Problem]
) -> None:
    if reading.lost:
        lost = f"{name} is damaged: {reading.lost} piece(s) of it could not be decoded."
        warnings.append(Problem("damaged", lost))
    if header.declared is not None:
        declared = reading.seconds * header.declared
    cut = f"{name} breaks off after {reading.seconds:.1f} s"
    if reading.broken:
        warnings.append(Problem("truncated", f"{cut}: {reading.broken}."))
    elif reading.format == "ogg" and ogg_is_cut(source):
        warnings.append(Problem("truncated", f"{cut}: its last page is not whole."))
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
        self.seconds = self.other_seconds = 0.0
        self.failures = self.lost = 0
        self.broken = ""

    def frames(self) -> Iterator[AudioFrame]:
        """Yield the frames; a piece that cannot be decoded is counted and left out."""
        pending = 0
        for packet in self._packets():
            try:
                frames = self.stream.codec_context.decode(packet)
            except av.FFmpegError:
                self.failures += 1
                pending += 1
                continue
            for frame in frames:
                _keep_layout(frame)
                if self.seconds and packet.size:
                    self.lost += pending
                pending = 0
                yield frame

    def _packets(self) -> Iterator[Packet[Any]]:
        streams = [self.stream, *self.container.streams.video] if self.format == "matroska" else [self.stream]
        for other in self.container.streams:
            if other not in streams:
                other.discard = Discard.all
        try:
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
        if frame.time is None or self.format not in _SILENT_GAPS | _LOST_GAPS:
            return 0.0
        gap = frame.time - self.start - self.seconds
        if not _SHORTEST_GAP < gap < _LONGEST_GAP:
            return 0.0
        self.lost += self.format in _LOST_GAPS
        return gap

    def to_sound(self, pieces: list[NDArray[Any]]) -> NDArray[np.float32]:
        """Join pieces; the bursts that a lossy decoder makes of damaged data are silenced and counted."""
        sound = to_float(np.concatenate(pieces))
        if self._verbatim or not sound.size or _peak(sound) < _LOUDEST:
            return sound
        ends = np.cumsum([len(piece) for piece in pieces])[:-1]
        for part in np.split(sound, ends):
            if not _peak(part) < _LOUDEST:
                part[:] = 0
                self.lost += 1
        return sound


def _peak(sound: NDArray[np.float32]) -> float:
    return float(np.abs(sound).max(initial=0.0))


def _keep_layout(frame: AudioFrame) -> None:
    # Up to PyAV 19.0 a frame and its ``layout`` both free the channel map of an unusual layout
    # (right before left, say), and the process dies. Never freeing the latter costs 50 bytes.
    # For the same reason ``channels`` and ``layout`` of the codec must not be touched.
    name = frame.layout.name
    if " (" in name or "ambisonic" in name:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(frame.layout))


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


def _gather(reading: _Reading, name: str) -> Iterator[Chunk]:
    """Join frames, of some 20 ms each, to chunks of a second: NumPy is slow on small arrays."""
    held: list[NDArray[Any]] = []
    length = rate = 0
    for frame in reading.frames():
        check_format(frame.sample_rate, frame.layout.nb_channels, name)
        samples = _samples_of(frame, name)
        gap = reading.gap_before(frame)
        changed = held and (
            rate != frame.sample_rate
            or held[0].shape[1] != samples.shape[1]
            or held[0].dtype != samples.dtype
        )
        if held and (length >= rate or gap or changed):
            yield Chunk(rate, reading.to_sound(held))
            held, length = [], 0
        rate = frame.sample_rate
        for part in _silence(gap, rate, samples.shape[1]):
            yield Chunk(rate, part)
        held.append(samples)
        length += len(samples)
        reading.seconds += gap + len(samples) / rate
    if held:
        yield Chunk(rate, reading.to_sound(held))


def _silence(seconds: float, rate: int, channels: int) -> Iterator[NDArray[np.float32]]:
    left = round(seconds * rate)
    while left > 0:
        yield np.zeros((min(left, rate), channels), np.float32)
        left -= rate


def _samples_of(frame: AudioFrame, name: str) -> NDArray[Any]:
    """Return the samples as the decoder left them, of shape (samples, channels)."""
    kind = frame.format.name
    planar = kind.endswith("p")
    dtype = _TYPES.get(kind.removesuffix("p"))
    if dtype is None:
        raise AudioError("not_readable", f"{name} has samples of the type {kind}, which cannot be read.")
    channels = frame.layout.nb_channels
    planes: Any = frame.planes
    if planar and channels > 1:
        return np.stack([np.frombuffer(plane, dtype, frame.samples) for plane in planes[:channels]], axis=1)
    return np.frombuffer(planes[0], dtype, frame.samples * channels).reshape(-1, channels)
