"""Live streams: heard in processes of their own, fed and asked from the event loop."""

from voxtrait.service.streams.pool import LiveStream, StreamHouse
from voxtrait.service.streams.worker import Opening

__all__ = ["LiveStream", "Opening", "StreamHouse"]
