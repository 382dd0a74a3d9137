"""Progress of a long stage: a bar if standard error is a terminal, and one progress artifact on the flow run's page in
Prefect.

    preparation-progress     tokenize_chats: 12 of 40 shards, 8,300 rows/s, about 20 s left
    training-progress        step 250 of 372, epoch 2.69, loss 0.0033, …, about 2 min left
    evaluation-progress      trained model: 4 of 10 batches, 200 of 303 answers, about 10 s left

It ends at 100 %, or stays at the point where the work stopped and shows why. A thread sends it to Prefect, so that a
slow or unreachable server delays nothing.
"""

import contextlib
import contextvars
import logging
import sys
import threading
import time
from types import TracebackType
from typing import Any, Self
from uuid import UUID

from tqdm import tqdm

from sft_core.inspection.markdown import excerpt
from tasks.context import current_flow_run, is_in_flow
from tasks.progress.pace import in_words

PLACEMENT = "It shows progress."
SECONDS_A_MESSAGE = 5.0
"""Minimum time between two messages to Prefect, each of which is an API call."""
SHARE_OF_THE_TIME = 1 / 200
"""Minimum time between two messages as a fraction of the time so far: the first 17 minutes take 200 messages, and each
doubling of the time takes 140 more."""
SECONDS_FOR_THE_LAST = 10.0
WHY_CHARS = 200


def tell(notice: str) -> None:
    """Show a notice while work is running: on standard error, and in the flow run's log."""
    tqdm.write(f"sft: {notice}", file=sys.stderr)
    if is_in_flow():
        logger().warning(notice)


def logger() -> logging.Logger | logging.LoggerAdapter[Any]:
    """Return the flow run's logger; outside of a flow run, the logger of this module."""
    if not is_in_flow():
        return logging.getLogger(__name__)
    from prefect.logging import get_run_logger

    return get_run_logger()


class StageProgress:
    """Progress of one stage, used as a context manager. Nothing is shown before the first `tell`."""

    def __init__(self, stage: str, unit: str) -> None:
        """Create the progress of a stage.

        Args:
            stage: Name of the stage, with which the key of the artifact begins: `training-progress`.
            unit: Unit that the progress bar counts in.
        """
        self.percent, self.words = 0.0, ""
        self._stage, self._unit = stage, unit
        self._bar: tqdm[Any] | None = None
        self._artifact = _ProgressArtifact(f"{stage}-progress") if is_in_flow() else None
        self._started_at = time.monotonic()

    def tell(self, done: float, total: float, percent: float, words: str, doing: str = "") -> None:
        """Show the present progress.

        Args:
            done: Count of the progress bar.
            total: Count at which the progress bar is full.
            percent: Progress of the whole stage in percent, for the artifact.
            words: Description for the artifact.
            doing: Name of the present part, shown on the progress bar after the stage's name, if the stage has several.
        """
        self.percent, self.words = percent, words
        if self._bar is None:
            self._bar = tqdm(unit=self._unit, disable=None, leave=False)
        if not self._bar.disable:
            self._bar.total, self._bar.n = total, done
            self._bar.set_description(f"{self._stage}, {doing}" if doing else self._stage)
        if self._artifact is not None:
            self._artifact.show(percent, words)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        if not self.words:
            return
        if error is None:
            self.percent, ending = 100.0, f"done after {in_words(time.monotonic() - self._started_at)}"
        else:
            ending = f"stopped: {excerpt(str(error) or type(error).__name__, WHY_CHARS)}"
        self.words = f"{self.words}; {ending}"
        if self._artifact is not None:
            self._artifact.show(self.percent, self.words)
            self._artifact.end()


class _ProgressArtifact:
    """Progress artifact of one stage in this flow run: that of an earlier attempt if there is one, else a new one."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._id: UUID | None = None
        self._newest = (0.0, "")
        self._is_ended = threading.Event()
        self._thread: threading.Thread | None = None

    def show(self, percent: float, words: str) -> None:
        """Pass on the newest progress, which a thread sends soon."""
        self._newest = (percent, words)
        if self._thread is None:
            context = contextvars.copy_context()  # holds the flow run
            self._thread = threading.Thread(target=context.run, args=(self._keep,), name=self._key, daemon=True)
            self._thread.start()

    def end(self) -> None:
        """Wait for at most `SECONDS_FOR_THE_LAST` until the newest progress is sent."""
        self._is_ended.set()
        if self._thread is not None:
            self._thread.join(SECONDS_FOR_THE_LAST)

    def _keep(self) -> None:
        started_at, shown = time.monotonic(), (0.0, "")
        while True:
            is_last, newest = self._is_ended.is_set(), self._newest
            if newest != shown:
                with contextlib.suppress(Exception):  # a failed update never ends the work
                    self._send(*newest)
                    shown = newest
            if is_last:
                return
            self._is_ended.wait(max(SECONDS_A_MESSAGE, SHARE_OF_THE_TIME * (time.monotonic() - started_at)))

    def _send(self, percent: float, words: str) -> None:
        from prefect.artifacts import create_progress_artifact, update_progress_artifact

        self._id = self._id or self._found()
        if self._id is None:
            made = create_progress_artifact(percent, key=self._key, description=words)
            assert isinstance(made, UUID), "called outside of an event loop"
            self._id = made
        else:
            update_progress_artifact(self._id, percent, description=words)

    def _found(self) -> UUID | None:
        from prefect.client.orchestration import get_client
        from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, ArtifactFilterKey

        flow_run = current_flow_run()
        assert flow_run is not None
        of_run, of_key = ArtifactFilterFlowRunId(any_=[UUID(str(flow_run.id))]), ArtifactFilterKey(any_=[self._key])
        own = ArtifactFilter(flow_run_id=of_run, key=of_key)
        with get_client(sync_client=True) as client:
            found = client.read_artifacts(artifact_filter=own, limit=1)
        return found[0].id if found else None
