"""The service: HTTP, live streams, jobs and a page, on one machine or several that share a database."""

from voxtrait.service.settings import Settings

__all__ = ["Settings"]
