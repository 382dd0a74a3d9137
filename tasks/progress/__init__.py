"""Progress of a run: a progress bar on a terminal, and a progress artifact in Prefect.

    with preparation(STAGES): …      tokenize_chats: 12 of 40 shards, 8,300 rows/s, about 20 s left

Invariants: a slow or unreachable server never delays the work, and piped output has no progress bar.
"""

from tasks.progress.stage_progress import StageProgress, logger, tell

__all__ = ["StageProgress", "logger", "tell"]
