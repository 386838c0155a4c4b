"""Recordings heard in processes of this machine, for whoever has many: archives and the service."""

from voxtrait.engine.items import Item, Wish
from voxtrait.engine.local import Answered, LocalEngine
from voxtrait.engine.worker import Plan

__all__ = ["Answered", "Item", "LocalEngine", "Plan", "Wish"]
