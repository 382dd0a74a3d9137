"""GPU slots that all runs of a Prefect server share: slots of the global concurrency limit `sft-gpu`.

A step that needs GPUs holds one slot for each while it runs, whichever work pool or terminal its run was started from.
A step that needs more than the limit takes all slots. Slots are held under a lease: the holder renews it every
`RENEWAL_SECONDS`, and the server revokes a lease that is not renewed. So the slots of a killed run are free after 40 to
60 s, plus the interval between two checks of the server (`PREFECT_SERVER_SERVICES_REPOSSESSOR_LOOP_SECONDS`, by
default 15). A run that waits for slots also looks for runs that have ended, and releases the leases that these left
behind: then slots are free as soon as Prefect knows that a run is dead.

Nothing is taken, and nothing waits, if GPUs are not shared: outside of a flow run, or on a server without this limit,
such as the one that a command starts for itself.

A run keeps waiting while the server is unreachable. If a lease is lost, because the server was unreachable for too long
or was restarted, the run reports this and takes the slots again as soon as they are free. A lost lease never ends
training; Prefect's own `concurrency` is not used because it gives up permanently after three failed renewals.
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
"""Name of the global concurrency limit, which has one slot for each GPU that is shared."""
LEASE_SECONDS = 60.0
"""Duration of a lease: the shortest that a server grants."""
RENEWAL_SECONDS = 20.0
LEASE_LABEL = "sft.gpu_lease"
"""Label of a flow run with the id of its newest lease."""
ENDED_LATELY = timedelta(minutes=5)
"""Age up to which ended runs are searched for leases; older ones no longer hold any."""
POLL_SECONDS = 2.0
"""Time between two attempts to take slots."""
SECONDS_TO_GIVE_BACK = 5.0


@contextmanager
def gpu_slots(stage: str, num_gpus: int) -> Iterator[None]:
    """Wait for GPU slots, and hold them while a block runs.

    Args:
        stage: The stage's name, for notices.
        num_gpus: Number of slots; 0 takes none and does not wait.
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
    """Return the total number of slots; None if the limit does not exist or is not active."""
    try:
        found = client.read_global_concurrency_limit_by_name(GPU_LIMIT)
    except ObjectNotFound:
        return None
    return found.limit if found.active else None


class _Slots:
    """A lease of slots, and the thread that renews it."""

    def __init__(self, client: SyncPrefectClient, holder: ConcurrencyLeaseHolder, stage: str, num_gpus: int) -> None:
        self._client, self._holder, self._stage, self._num_gpus = client, holder, stage, num_gpus
        self._num_slots = num_gpus
        self._lease: UUID | None = None
        self._is_done = threading.Event()

    def release_former(self, flow_run_id: UUID) -> None:
        """Release the slots that a killed attempt of the same flow run still holds."""
        self._release_lease_of(self._client.read_flow_run(flow_run_id))

    def _release_left_behind(self) -> None:
        """Release the slots of crashed or cancelled runs."""
        dead = FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.CRASHED, StateType.CANCELLED])),
            end_time=FlowRunFilterEndTime(after_=datetime.now(UTC) - ENDED_LATELY),
        )
        for run in self._client.read_flow_runs(flow_run_filter=dead):
            self._release_lease_of(run)

    def _release_lease_of(self, run: FlowRun) -> None:
        lease = run.labels.get(LEASE_LABEL)
        if isinstance(lease, str):
            with suppress(httpx.HTTPStatusError):  # the lease has expired
                self._client.release_concurrency_slots_with_lease(UUID(lease))

    def wait(self) -> None:
        """Take the slots as soon as they are free; keep waiting while the server is unreachable."""
        shown = None
        while (why := self._why_none()) is not None:
            if why != shown:
                shown = why
                tell(f"{self._stage} waits for {self._in_words('free ')} of '{GPU_LIMIT}': {why}")
            time.sleep(POLL_SECONDS)
        if shown is not None:
            tell(f"{self._stage} has {self._in_words()} of '{GPU_LIMIT}'")

    def _in_words(self, free: str = "") -> str:
        return f"a {free}slot" if self._num_slots == 1 else f"{self._num_slots} {free}slots"

    def _why_none(self) -> str | None:
        """Try to take the slots; return None on success, else the reason why they cannot be taken now."""
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
        """Keep the slots while a block runs, then release them, without waiting for a server that does not answer."""
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
            with suppress(httpx.HTTPError):  # the server is unreachable: the next attempt may succeed
                if self._lease is None:
                    self._take()
                else:
                    self._renew(self._lease)
        if self._lease is not None:
            # a lease that is not released expires by itself; RuntimeError: the main thread did not wait
            with suppress(httpx.HTTPError, RuntimeError):
                self._client.release_concurrency_slots_with_lease(self._lease)

    def _take(self) -> bool:
        """Take the slots; return False if too few are free."""
        limit = _limit(self._client) or 1  # a limit of 0 has no slot that could be taken
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
                f"the Prefect server revoked the '{GPU_LIMIT}' slots of {self._stage}: it received no renewal for "
                f"{LEASE_SECONDS:.0f} s, or was restarted; the work continues, and takes them again when they are free"
            )
            self._take()
