"""Tables in a terminal and in a pipe."""

import io

import pytest

from sft_cli.printing import cell, heading, plain_console, print_table, size

NAMES = ["models:/a-model-with-a-long-name/12", "[bold]x[/bold] :warning:", "日本語"]


def printed(width: int, is_terminal: bool = False) -> str:
    out = io.StringIO()
    console = plain_console(
        file=out, width=width, force_terminal=is_terminal, color_system="standard" if is_terminal else "auto"
    )
    print_table(console, ["name", "digest"], [[name, "0123456789abcdef" * 4] for name in NAMES], bold_row=1)
    return out.getvalue()


def test_a_table_in_a_pipe_is_complete_and_has_neither_colours_nor_blanks_at_the_end() -> None:
    lines = printed(width=20).splitlines()
    assert [line.split("  ")[0] for line in lines] == ["name", *NAMES]
    assert all(line.endswith("  " + "0123456789abcdef" * 4) for line in lines[1:])
    assert "\x1b" not in printed(width=20)
    assert lines[0].endswith("digest")


def test_columns_are_aligned_by_the_width_that_letters_take() -> None:
    first, *_, wide = printed(width=80).splitlines()[1:]
    assert wide.index("0") == first.index("0") - len("日本語"), "each of these letters takes two places"


def test_the_header_and_one_row_are_bold_in_a_terminal() -> None:
    assert [line.startswith("\x1b[1m") for line in printed(width=200, is_terminal=True).splitlines()] == [
        True,
        False,
        True,
        False,
    ]


def test_a_name_is_printed_as_it_is() -> None:
    out = io.StringIO()
    plain_console(file=out).print(heading("[red]", " :smile:", " [/red]"))
    assert out.getvalue() == "[red] :smile: [/red]\n"


@pytest.mark.parametrize(
    ("num_bytes", "text"), [(0, "0 bytes"), (999, "999 bytes"), (1500.4, "1.5 kB"), (2e9, "2.0 GB"), (3.2e12, "3.2 TB")]
)
def test_bytes_are_shown_with_a_unit(num_bytes: float, text: str) -> None:
    assert size(num_bytes) == text


def test_a_value_that_does_not_exist_is_a_dash() -> None:
    assert [cell(None, ".4f"), cell(0.5, ".4f"), cell("x")] == ["–", "0.5000", "x"]
