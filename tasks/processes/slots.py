"""The right to use GPUs, shared by all runs of a Prefect server: slots of the concurrency limit `sft-gpu`.

A step that needs GPUs takes as many slots for its length, whichever work pool or terminal its run was started from; one
that wants more than the limit has takes them all. Slots are a lease: who holds it says so every `RENEWAL_SECONDS`, and
the server takes it back from whoever falls silent. So the slots of a killed run are free after 40 to 60 s, and the time
between two looks of the server (`PREFECT_SERVER_SERVICES_REPOSSESSOR_LOOP_SECONDS`, by default 15). Who waits for them
looks which runs have ended, and gives back what they left behind: then it is free as soon as Prefect knows that the run
is dead.

Nothing is taken, and nothing waits, where there is nobody to share with: without a flow run, or on a server that has no
such limit, as the one that a command starts for itself.

Who waits goes on waiting while the server is away. A lease that is lost (the server was away for longer, or forgot it
in a restart) is told and taken anew as soon as there is room. It is never a reason to end training, which is why
Prefect's own `concurrency` is not used: that gives up for good after three failed renewals.
"""

import contextvars
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterEndTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import ConcurrencyLeaseHolder, FlowRun, StateType
from prefect.context import FlowRunContext
from prefect.exceptions import ObjectNotFound

from tasks.processes.deadlines import clock_stopped
from tasks.processes.retrying import can_pass
from tasks.progress import tell

PLACEMENT = "It decides when work may begin."

GPU_LIMIT = "sft-gpu"
"""The global concurrency limit: as many slots as there are GPUs to share out."""
LEASE_SECONDS = 60.0
"""The shortest that a server grants."""
RENEWAL_SECONDS = 20.0
LEASE_LABEL = "sft.gpu_lease"
"""Of a flow run: the lease that it took last."""
ENDED_LATELY = timedelta(minutes=5)
"""A run that ended before has no lease any more."""
POLL_SECONDS = 2.0
"""Between two attempts to get slots."""
SECONDS_TO_GIVE_BACK = 5.0


@contextmanager
def gpu_slots(stage: str, num_gpus: int) -> Iterator[None]:
    """Hold slots for the length of a block, having waited for them.

    Args:
        stage: Who wants them, for people.
        num_gpus: How many; with 0, nothing is taken and nothing waits.
    """
    context = FlowRunContext.get()
    if num_gpus == 0 or context is None or context.flow_run is None:
        yield
        return
    with get_client(sync_client=True) as client:
        if _limit(client) is None:
            yield
            return
        holder = ConcurrencyLeaseHolder(type="flow_run", id=context.flow_run.id)
        slots = _Slots(client, holder, stage, num_gpus)
        slots.release_former(context.flow_run.id)
        with clock_stopped():
            slots.wait()
        with slots.held():
            yield


def _limit(client: SyncPrefectClient) -> int | None:
    """How many slots there are, free or not; None where nobody has limited them."""
    try:
        found = client.read_global_concurrency_limit_by_name(GPU_LIMIT)
    except ObjectNotFound:
        return None
    return found.limit if found.active else None


class _Slots:
    """A lease, and the thread that keeps it."""

    def __init__(self, client: SyncPrefectClient, holder: ConcurrencyLeaseHolder, stage: str, num_gpus: int) -> None:
        self._client, self._holder, self._stage, self._num_gpus = client, holder, stage, num_gpus
        self._num_slots = num_gpus
        self._lease: UUID | None = None
        self._is_done = threading.Event()

    def release_former(self, flow_run_id: UUID) -> None:
        """Give back what an attempt of the same flow run that was killed still holds."""
        self._release_lease_of(self._client.read_flow_run(flow_run_id))

    def _release_left_behind(self) -> None:
        """Give back what runs hold that were killed, and are known to be dead."""
        dead = FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.CRASHED, StateType.CANCELLED])),
            end_time=FlowRunFilterEndTime(after_=datetime.now(UTC) - ENDED_LATELY),
        )
        for run in self._client.read_flow_runs(flow_run_filter=dead):
            self._release_lease_of(run)

    def _release_lease_of(self, run: FlowRun) -> None:
        lease = run.labels.get(LEASE_LABEL)
        if isinstance(lease, str):
            with suppress(httpx.HTTPStatusError):  # it ran out
                self._client.release_concurrency_slots_with_lease(UUID(lease))

    def wait(self) -> None:
        """Take the slots as soon as they are free, also over an outage of the server."""
        told = None
        while (why := self._why_none()) is not None:
            if why != told:
                told = why
                tell(f"{self._stage} waits for {self._in_words('free ')} of '{GPU_LIMIT}': {why}")
            time.sleep(POLL_SECONDS)
        if told is not None:
            tell(f"{self._stage} has {self._in_words()} of '{GPU_LIMIT}'")

    def _in_words(self, free: str = "") -> str:
        return f"a {free}slot" if self._num_slots == 1 else f"{self._num_slots} {free}slots"

    def _why_none(self) -> str | None:
        """Take the slots, or say why that cannot be now."""
        try:
            if self._take():
                return None
            self._release_left_behind()
        except Exception as error:
            if not can_pass(error):
                raise
            return "Prefect does not answer"
        return "other runs have the GPU"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep the slots for the length of a block, then give them back; a server that does not answer is not waited
        for."""
        context = contextvars.copy_context()  # the notices of the thread belong to the flow run
        keeper = threading.Thread(target=context.run, args=[self._keep], name="gpu-slot", daemon=True)
        keeper.start()
        try:
            yield
        finally:
            self._is_done.set()
            keeper.join(SECONDS_TO_GIVE_BACK)

    def _keep(self) -> None:
        while not self._is_done.wait(RENEWAL_SECONDS):
            with suppress(httpx.HTTPError):  # the server is away: the next attempt may find it
                if self._lease is None:
                    self._take()
                else:
                    self._renew(self._lease)
        if self._lease is not None:
            with suppress(httpx.HTTPError, RuntimeError):  # the lease runs out by itself; RuntimeError: nobody waited
                self._client.release_concurrency_slots_with_lease(self._lease)

    def _take(self) -> bool:
        """Take the slots if so many are free."""
        limit = _limit(self._client) or 1  # of none at all there is none to take
        self._num_slots = min(self._num_gpus, limit)
        try:
            answer = self._client.increment_concurrency_slots_with_lease(
                [GPU_LIMIT], self._num_slots, "concurrency", LEASE_SECONDS, self._holder
            )
        except httpx.HTTPStatusError as error:
            if error.response.status_code == httpx.codes.LOCKED:
                return False
            raise
        self._lease = UUID(answer.json()["lease_id"])
        self._client.update_flow_run_labels(self._holder.id, {LEASE_LABEL: str(self._lease)})
        return True

    def _renew(self, lease: UUID) -> None:
        try:
            self._client.renew_concurrency_lease(lease, LEASE_SECONDS)
        except httpx.HTTPStatusError as error:
            if error.response.status_code not in (httpx.codes.GONE, httpx.codes.NOT_FOUND):
                raise
            self._lease = None
            tell(
                f"the Prefect server gave up what {self._stage} holds of '{GPU_LIMIT}': it heard nothing for "
                f"{LEASE_SECONDS:.0f} s, or was restarted; the work goes on, and takes it again when it is free"
            )
            self._take()
