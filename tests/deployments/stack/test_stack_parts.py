"""Addresses, databases, the state of a stack, and which servers a command takes."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from deployments.stack.addresses import choose_port, public_name, url
from deployments.stack.databases import Databases, in_home, make_missing, on_postgres
from deployments.stack.embedded import use_stack
from deployments.stack.services import StackSetting, services
from deployments.stack.state import Stack, is_kept, keeping, kept_stack, read_stack, stack_folder, write_stack
from sft_core.errors import RecipeError
from tasks.processes.owners import owner_tags
from tasks.tracking.stores import tracking_uri_of

PROJECT = Path(__file__).parents[3]


@pytest.fixture
def taken() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        yield held.getsockname()[1]


def some_stack(**fields: object) -> Stack:
    owner = owner_tags()
    words = {
        "token": "t",
        "owner": owner,
        "front": owner,
        "started_at": 1.0,
        "phase": "running",
        "database": "",
        "store": "s",
    }
    ports = {
        "prefect_port": 1,
        "mlflow_port": 2,
        "prefect_url": "http://127.0.0.1:1",
        "mlflow_url": "http://127.0.0.1:2",
    }
    return Stack.model_validate({**words, **ports, **fields})


def setting(home: Path, name: str = "127.0.0.1") -> StackSetting:
    return StackSetting(home=home, databases=in_home(home), host="0.0.0.0", name=name, prefect_port=1, mlflow_port=2)


def test_a_usual_port_that_is_taken_is_replaced_and_a_wanted_one_is_refused(taken: int) -> None:
    other = choose_port("127.0.0.1", None, taken, "--port")
    assert other != taken
    assert choose_port("127.0.0.1", None, other, "--port") == other
    with pytest.raises(RecipeError, match=f"--port: expected a free port, found .*:{taken}"):
        choose_port("127.0.0.1", taken, other, "--port")


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"--host: expected an address of this machine, found '192\.0\.2\.1'"):
        choose_port("192.0.2.1", None, 0, "--port")


def test_links_name_what_others_can_open() -> None:
    assert public_name("127.0.0.1") == "127.0.0.1"
    assert public_name("0.0.0.0") in (socket.gethostname(), "127.0.0.1")
    assert url("::1", 80) == "http://[::1]:80"


def test_the_files_are_those_of_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert in_home(tmp_path).mlflow == in_home(tmp_path).store == tracking_uri_of(tmp_path)
    assert in_home(tmp_path).prefect == f"sqlite+aiosqlite:///{tmp_path}/prefect/prefect.db"


def test_what_is_no_postgresql_is_refused() -> None:
    with pytest.raises(RecipeError, match="--postgres: expected postgresql://USER:PASSWORD@HOST:PORT/"):
        on_postgres("mysql://somewhere/")
    with pytest.raises(
        RecipeError, match=r"at 127\.0\.0\.1:1 expected a PostgreSQL server that accepts the connection"
    ) as caught:
        make_missing(urlsplit("postgresql://user:secret@127.0.0.1:1/"))
    assert "secret" not in str(caught.value)


def test_no_command_shows_a_password(tmp_path: Path) -> None:
    secret = Databases("postgresql+asyncpg://u:secret@h/prefect", "postgresql+psycopg://u:secret@h/mlflow", "s", "w")
    made = services(StackSetting(tmp_path, secret, "127.0.0.1", "127.0.0.1", 1, 2))
    assert not any("secret" in word for service in made for word in service.command)
    assert sum("secret" in str(service.environment) for service in made) == 2, "only the servers are told"


def test_mlflow_answers_under_the_name_that_links_have(tmp_path: Path) -> None:
    (server,) = (one for one in services(setting(tmp_path, "head.local")) if one.name == "mlflow-server")
    assert "head.local:2" in server.environment["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")
    assert "http://head.local:2" in server.environment["MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"].split(",")
    workers = [one for one in services(setting(tmp_path, "head.local")) if one.name.startswith("worker")]
    assert {one.environment["PREFECT_UI_URL"] for one in workers} == {"http://head.local:1"}


def test_one_keeper_at_a_time(tmp_path: Path) -> None:
    assert not is_kept(tmp_path)
    with keeping(tmp_path) as is_first:
        assert is_first
        assert is_kept(tmp_path)
        with keeping(tmp_path, patience_seconds=0.1) as is_second:
            assert not is_second
    assert not is_kept(tmp_path)


def test_a_state_that_nobody_keeps_is_no_stack(tmp_path: Path) -> None:
    with keeping(tmp_path):
        write_stack(tmp_path, some_stack())
        assert kept_stack(tmp_path) == some_stack()
        assert (stack_folder(tmp_path) / "state.json").stat().st_mode & 0o077 == 0
    assert kept_stack(tmp_path) is None
    assert read_stack(tmp_path) == some_stack()
    (stack_folder(tmp_path) / "state.json").write_text("{")
    assert read_stack(tmp_path) is None


@pytest.mark.parametrize("why", ["nobody keeps it", "it does not answer", "it is switched off", "it starts"])
def test_a_stack_that_does_not_work_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    for name in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI", "SFT_STACK"):
        monkeypatch.delenv(name, raising=False)
    if why == "it is switched off":
        monkeypatch.setenv("SFT_STACK", "off")
    before = dict(os.environ)
    with keeping(tmp_path):
        write_stack(tmp_path, some_stack(phase="starting" if why == "it starts" else "running"))
        if why != "nobody keeps it":
            use_stack(tmp_path)
    if why == "nobody keeps it":
        use_stack(tmp_path)
    assert dict(os.environ) == before


def test_a_port_that_another_stack_has_chosen_and_not_opened_yet_is_taken() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    choose = (
        f"from deployments.stack.addresses import choose_port; print(choose_port('127.0.0.1', None, {port}, '--port'))"
    )
    waiting = f"{choose}; import sys; sys.stdout.flush(); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", waiting], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=PROJECT
    ) as other:
        assert int(other.stdout.readline()) == port
        assert choose_port("127.0.0.1", None, port, "--port") != port
        with pytest.raises(RecipeError, match="in use or reserved by another stack"):
            choose_port("127.0.0.1", port, port, "--port")
        other.communicate("", timeout=60)
    assert choose_port("127.0.0.1", None, port, "--port") == port
