"""A service of `voxtrait serve`, called from Python: the answers of a `Predictor`, without its model.

>>> with Client("http://127.0.0.1:8000") as client:
...     answer = client.predict("interview.mp3", speakers=True)
"""

from __future__ import annotations

from voxtrait.client.client import Client
from voxtrait.client.live import LiveStream

__all__ = ["Client", "LiveStream"]
