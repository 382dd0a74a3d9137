"""How text of the data is shown to people."""

from sft_core.inspection import harmless


def test_control_characters_of_the_data_do_not_reach_the_terminal_and_all_else_does() -> None:
    assert harmless("\x1b[31mred\r\x9b2J\ttab\nline 👩\u200d👧 é") == "U+001B[31mred␍U+009B2J\ttab\nline 👩\u200d👧 é"
