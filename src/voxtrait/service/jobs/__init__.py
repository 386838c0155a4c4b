"""Long recordings: a queue in a database, that outlives the service and may be shared by several."""

from voxtrait.service.jobs.queue import JobQueue
from voxtrait.service.jobs.store import Job

__all__ = ["Job", "JobQueue"]
