"""How a command ends, and what it says then."""

import signal
import sys
from collections.abc import Iterator

import pytest
import typer

from sft_cli.session import session


@pytest.fixture(autouse=True)
def _same_handler_afterwards() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def test_a_command_that_is_terminated_says_that_it_can_be_gone_on_with(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as caught, session(is_json=False, is_debugging=False):
        signal.raise_signal(signal.SIGTERM)
    assert caught.value.exit_code == 143
    assert capfd.readouterr().err == "sft: terminated; run the same command again to resume\n"


def test_another_exit_is_left_as_it_is() -> None:
    with pytest.raises(SystemExit) as caught, session(is_json=False, is_debugging=False):
        sys.exit(7)
    assert caught.value.code == 7
