"""What the console keeps: runs, their attempts, their logs, and the workers seen.

No foreign key leaves the console's own tables: users and data may live in other databases.
"""

from .keys import new_key
from .log import LogChunk
from .notice import Notice
from .page import Health, Migration, SchemaMigration
from .run import Attempt, Control, Decision, Kind, Run, RunQuerySet
from .upload import Upload, UploadPart
from .worker import Canary, Worker

__all__ = [
    "Attempt",
    "Canary",
    "Control",
    "Decision",
    "Health",
    "Kind",
    "LogChunk",
    "Migration",
    "Notice",
    "Run",
    "RunQuerySet",
    "SchemaMigration",
    "Upload",
    "UploadPart",
    "Worker",
    "new_key",
]
