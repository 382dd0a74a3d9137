"""Progress of a run as people see it: a progress bar on a terminal, and a progress artifact in Prefect.

    with preparation(STAGES): …      tokenize_chats: 12 of 40 shards, 8,300 rows/s, about 20 s left

What always holds: a slow or absent server never delays the work, and output that is piped has no progress bar.
"""

from tasks.progress.stage_progress import StageProgress, logger, tell

__all__ = ["StageProgress", "logger", "tell"]
