"""The public files as rows of the four formats that TRL tells apart.

                  standard                          conversational
language          text        "… 18 a day. …"       messages  system?, user, assistant, user, assistant
modelling
prompt-           prompt      "How much …?"         prompt      system?, user, …
completion        completion  "She makes 18. …"     completion  assistant
"""

import functools
import json
import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

Row = dict[str, Any]
Format = Literal["text", "text_pair", "messages", "messages_pair"]
Exchange = tuple[str, str]
"""A request and its answer."""

CORPORA = ("gsm8k", "alpaca", "c4", "glaive", "glaive_calls")
"""The last is glaive again, where calls of tools are no text but `tool_calls`, and rows bring their tools."""
ROLES = {"human": "user", "gpt": "assistant", "function_call": "assistant", "observation": "tool"}
SYSTEM = {"role": "system", "content": "Say what you know, and no more."}


@functools.cache
def rows_of(corpus: str, shape: Format, data: Path) -> list[Row]:
    """All rows of a file in one of the formats.

    Args:
        corpus: One of `CORPORA`.
        shape: The format.
        data: The folder with the files.
    """
    if corpus.startswith("glaive"):
        return list(_glaive(shape, data, as_calls=corpus == "glaive_calls"))
    if corpus == "c4" and shape == "text":
        return _json_lines(data / "c4_demo.jsonl")
    return [_row(shape, number, *exchanges) for number, exchanges in enumerate(pairwise(EXCHANGES[corpus](data)))]


def _row(shape: Format, number: int, exchange: Exchange, following: Exchange) -> Row:
    prompt, completion = exchange
    if shape == "text":
        return {"text": f"{prompt}\n{completion}"}
    if shape == "text_pair":
        return {"prompt": prompt, "completion": completion}
    system = [SYSTEM] if number % 3 == 0 else []
    request, answer = [*system, _message("user", prompt)], [_message("assistant", completion)]
    if shape == "messages_pair":
        return {"prompt": request, "completion": answer}
    # two exchanges, so that what is masked lies between what is learned
    return {"messages": [*request, *answer, _message("user", following[0]), _message("assistant", following[1])]}


def _message(role: str, content: str) -> Row:
    return {"role": role, "content": content.strip()}


def _gsm8k(data: Path) -> Iterator[Exchange]:
    return ((row["question"], row["answer"]) for row in _json_lines(data / "gsm8k_train.jsonl"))


def _alpaca(data: Path) -> Iterator[Exchange]:
    """Each part in its line: without a break before the answer, TRL would learn the "U" of "in the US" and "To"."""
    for row in _json(data / "alpaca_en_demo.json"):
        yield "".join(f"{part}\n" for part in (row["instruction"], row["input"]) if part), row["output"]


def _c4(data: Path) -> Iterator[Exchange]:
    """Continue a text from the first space between two words in its second half."""
    for row in _json_lines(data / "c4_demo.jsonl"):
        text = row["text"]
        place = re.compile(r"(?<=\w) (?=\w)").search(text, len(text) // 2)
        if place:
            yield text[: place.start()], text[place.start() :]


EXCHANGES: dict[str, Callable[[Path], Iterator[Exchange]]] = {"gsm8k": _gsm8k, "alpaca": _alpaca, "c4": _c4}


def _glaive(shape: Format, data: Path, *, as_calls: bool) -> Iterator[Row]:
    for row in _json(data / "glaive_toolcall_en_demo.json"):
        messages = [_turn(turn, as_calls=as_calls) for turn in row["conversations"]]
        tools = {"tools": row["tools"]} if as_calls else {}
        last = max(number for number, message in enumerate(messages) if message["role"] == "assistant")
        if shape == "messages":
            yield {"messages": messages, **tools}
        elif shape == "messages_pair":
            yield {"prompt": messages[:last], "completion": messages[last : last + 1], **tools}
        elif shape == "text":
            yield {"text": _transcript(messages)}
        else:
            yield {"prompt": _transcript(messages[:last]) + "assistant:", "completion": " " + messages[last]["content"]}


def _turn(turn: Row, *, as_calls: bool) -> Row:
    """A turn as a message; arguments as JSON text, because Arrow would give every call the keys of all others."""
    if not (as_calls and turn["from"] == "function_call"):
        return _message(ROLES[turn["from"]], turn["value"])
    call = json.loads(turn["value"])
    function = {"name": call["name"], "arguments": json.dumps(call["arguments"], ensure_ascii=False)}
    return {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": function}]}


def _transcript(messages: list[Row]) -> str:
    return "".join(f"{message['role']}: {message['content']}\n" for message in messages)


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _json_lines(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
