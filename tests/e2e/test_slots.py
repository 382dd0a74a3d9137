"""The GPU's slot on a server: waited for, kept, lost and taken again, given back."""

import re
import threading
import time
from collections.abc import Callable, Iterator
from uuid import UUID

import httpx
import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import ConcurrencyLeaseHolder
from prefect.context import FlowRunContext
from prefect.settings import PREFECT_API_URL, PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
from prefect.states import Crashed, Running

from tasks.processes import slots
from tasks.processes.slots import GPU_LIMIT, gpu_slots

pytestmark = pytest.mark.e2e


@pytest.fixture
def client(prefect_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[SyncPrefectClient]:
    monkeypatch.setattr(slots, "POLL_SECONDS", 0.1)
    monkeypatch.setattr(slots, "RENEWAL_SECONDS", 0.3)
    settings = {PREFECT_API_URL: prefect_url, PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}
    with temporary_settings(settings), SyncPrefectClient(prefect_url) as opened:
        yield opened
        opened.delete_global_concurrency_limit_by_name(GPU_LIMIT)


def taken(client: SyncPrefectClient) -> int:
    return client.read_global_concurrency_limit_by_name(GPU_LIMIT).active_slots


def own_lease(client: SyncPrefectClient) -> UUID:
    context = FlowRunContext.get()
    assert context is not None
    assert context.flow_run is not None
    return UUID(str(client.read_flow_run(context.flow_run.id).labels[slots.LEASE_LABEL]))


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_slot_is_waited_for_kept_taken_again_and_given_back(
    client: SyncPrefectClient, capfd: pytest.CaptureFixture[str]
) -> None:
    client.upsert_global_concurrency_limit_by_name(GPU_LIMIT, 1)
    other = ConcurrencyLeaseHolder(type="flow_run", id=UUID(int=1))
    answer = client.increment_concurrency_slots_with_lease([GPU_LIMIT], 1, "concurrency", 60, other)
    others_lease = UUID(answer.json()["lease_id"])

    @flow(name="slot")
    def work() -> None:
        told = threading.Timer(1.0, lambda: client.release_concurrency_slots_with_lease(others_lease))
        told.start()
        with gpu_slots("train_model", 1):
            told.join(60)
            first = own_lease(client)
            assert taken(client) == 1
            client.release_concurrency_slots_with_lease(first)  # as a server that forgot it
            wait_for(lambda: own_lease(client) != first)
            assert taken(client) == 1
        assert taken(client) == 0

    work()
    said = capfd.readouterr().err
    assert said.count("train_model waits for a free slot of 'sft-gpu': other runs have the GPU") == 1
    assert said.count("the Prefect server revoked the 'sft-gpu' slots of train_model") == 1


def test_who_waits_goes_on_waiting_while_the_server_is_away(
    client: SyncPrefectClient, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    client.upsert_global_concurrency_limit_by_name(GPU_LIMIT, 1)
    request = httpx.Request("POST", "http://prefect")
    answers: list[Exception] = [
        httpx.ConnectError("connection refused", request=request),
        httpx.HTTPStatusError("unavailable", request=request, response=httpx.Response(503, request=request)),
        httpx.ReadTimeout("no answer", request=request),
    ]
    ask = SyncPrefectClient.increment_concurrency_slots_with_lease

    def away(*args: object, **kwargs: object) -> httpx.Response:
        if answers:
            raise answers.pop(0)
        return ask(*args, **kwargs)  # type: ignore[arg-type]

    @flow(name="slot")
    def work() -> None:
        with monkeypatch.context() as outage:
            outage.setattr(SyncPrefectClient, "increment_concurrency_slots_with_lease", away)
            with gpu_slots("train_model", 1):
                assert taken(client) == 1
            answers.append(
                httpx.HTTPStatusError("who?", request=request, response=httpx.Response(401, request=request))
            )
            with pytest.raises(httpx.HTTPStatusError, match=re.escape("who?")), gpu_slots("train_model", 1):
                pass

    work()
    assert not answers
    said = capfd.readouterr().err
    assert said.count("train_model waits for a free slot of 'sft-gpu': Prefect does not answer") == 1
    assert said.count("train_model has a slot of 'sft-gpu'") == 1


def test_an_attempt_of_the_same_run_takes_over_the_slot_of_the_one_that_was_killed(client: SyncPrefectClient) -> None:
    client.upsert_global_concurrency_limit_by_name(GPU_LIMIT, 1)

    @flow(name="slot")
    def work() -> None:
        context = FlowRunContext.get()
        assert context is not None
        assert context.flow_run is not None
        killed = slots._Slots(client, ConcurrencyLeaseHolder(type="flow_run", id=context.flow_run.id), "train_model", 1)
        killed.wait()
        assert taken(client) == 1
        with gpu_slots("train_model", 1):
            assert taken(client) == 1

    work()
    assert taken(client) == 0


def test_a_slot_that_a_dead_run_left_behind_is_free_as_soon_as_somebody_waits(
    client: SyncPrefectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server itself would take it back in an hour."""
    client.upsert_global_concurrency_limit_by_name(GPU_LIMIT, 1)

    @flow(name="slot")
    def work() -> None:
        dead = client.create_flow_run(work, state=Running())
        with monkeypatch.context() as patch:
            patch.setattr(slots, "LEASE_SECONDS", 3600.0)
            slots._Slots(client, ConcurrencyLeaseHolder(type="flow_run", id=dead.id), "train_model", 1).wait()
        lease = UUID(str(client.read_flow_run(dead.id).labels[slots.LEASE_LABEL]))
        given_up = threading.Timer(180.0, client.release_concurrency_slots_with_lease, [lease])
        given_up.start()
        told = threading.Timer(1.0, lambda: client.set_flow_run_state(dead.id, Crashed(), force=True))
        told.start()
        with gpu_slots("train_model", 1):
            assert told.finished.is_set(), "the run that holds the slot is alive"
            assert not given_up.finished.is_set(), "nobody looked for what dead runs hold"
            assert taken(client) == 1
        given_up.cancel()

    work()
    assert taken(client) == 0


def test_a_training_takes_a_slot_for_each_of_its_gpus_and_all_where_it_wants_more(
    client: SyncPrefectClient, capfd: pytest.CaptureFixture[str]
) -> None:
    client.upsert_global_concurrency_limit_by_name(GPU_LIMIT, 4)
    other = ConcurrencyLeaseHolder(type="flow_run", id=UUID(int=1))

    @flow(name="slot")
    def work() -> None:
        for num_gpus, expected in {1: 1, 3: 3, 8: 4, 0: 0}.items():
            with gpu_slots("train_model", num_gpus):
                assert taken(client) == expected
            assert taken(client) == 0
        answer = client.increment_concurrency_slots_with_lease([GPU_LIMIT], 2, "concurrency", 60, other)
        lease = UUID(answer.json()["lease_id"])
        with gpu_slots("train_model", 2):
            assert taken(client) == 4
        assert taken(client) == 2
        told = threading.Timer(1.0, client.release_concurrency_slots_with_lease, [lease])
        told.start()
        with gpu_slots("train_model", 3):
            assert told.finished.is_set(), "two were free, not three"
            assert taken(client) == 3
        answer = client.increment_concurrency_slots_with_lease([GPU_LIMIT], 1, "concurrency", 60, other)
        lease = UUID(answer.json()["lease_id"])
        threading.Timer(1.0, client.release_concurrency_slots_with_lease, [lease]).start()
        with gpu_slots("train_model", 8):
            assert taken(client) == 4

    work()
    said = capfd.readouterr().err
    assert said.count("train_model waits for 3 free slots of 'sft-gpu': other runs have the GPU") == 1
    assert said.count("train_model has 3 slots of 'sft-gpu'") == 1
    assert said.count("train_model waits for 4 free slots of 'sft-gpu': other runs have the GPU") == 1, "all there are"


def test_nothing_is_taken_without_a_limit_or_a_run(client: SyncPrefectClient) -> None:
    @flow(name="slot")
    def work() -> str:
        with gpu_slots("train_model", 1):
            return "done"

    assert work() == "done"
    client.upsert_global_concurrency_limit_by_name(GPU_LIMIT, 1)
    with gpu_slots("train_model", 1):
        assert taken(client) == 0
