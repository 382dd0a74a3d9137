"""The catalogue of bad rows: (kind, row, what its damage is called).

A row is given as a value, or as the text of its record where JSON written by Python would not hold the damage.
"""

import json
from typing import Any

from tests.sft_core.data.formats.rows import ANSWER, USER

NO_PAIRS = "`history` is not a list of [request, answer] pairs of text"
MASK = "`completion_mask` is not a list of 0 and 1"
ID_RANGE = "`input_ids` has an id that is negative or above 2^31 - 1"
NO_WHOLE_NUMBER = "`input_ids` holds something that is not a whole number"
SURROGATE = "text holds half a surrogate pair, which is not Unicode"
NON_FINITE = "a number is NaN or Infinity, which JSON does not have"
NUL = "text holds the character U+0000 (NUL)"
DEEP = "nested too deeply: more than about 250 levels"
NOTHING_SAID = "a message in `messages` has neither `content` nor `tool_calls`"
NO_IMAGE = "not a path, a data URL or an object with bytes"
NO_BYTES = "an image is an object without `bytes` and `path`"
AT_AN_ADDRESS = "an image is at a web address, and nothing is downloaded: give the path of a file, or the image itself"
NO_ROLE = "a message in `messages` has no `role`"


def chat(message: Any) -> dict[str, Any]:
    return {"messages": [USER, message]}


def counts(images: str, places: str) -> str:
    return f"the row has {images} in its column, and {places} for them in its messages"


def calling(call: Any) -> dict[str, Any]:
    return chat({"role": "assistant", "content": None, "tool_calls": [call]})


def tokens(**columns: Any) -> dict[str, Any]:
    return {"input_ids": [5, 6, 7], **columns}


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


KINDS: list[tuple[str, Any, str]] = [
    # rows
    ("number", "3", "the row is neither an object of columns, nor text, nor a list"),
    ("boolean", "true", "the row is neither an object of columns, nor text, nor a list"),
    ("null", "null", "the row is neither an object of columns, nor text, nor a list"),
    ("no columns", {}, "columns (none) fit no known format"),
    ("unknown columns", {"b": 1, "a": 2}, "columns `a`, `b` fit no known format"),
    ("list of numbers", [1, 2], "`samples` is not a list of strings"),
    ("not JSON", '{"text": "a"', "not JSON"),
    ("nested a thousand times", f'{{"text": "a", "x": {nested(3000)}}}', DEEP),
    ("huge digits", f'{{"text": "a", "x": {"1" * 5000}, "y": NaN}}', "a whole number has thousands of digits"),
    # plain text
    ("null text", {"text": None}, "`text` is null, needed for text"),
    ("empty text", {"text": ""}, "`text` is empty"),
    ("blank text", {"text": " \n\t\u2003"}, "`text` is empty"),
    ("blank row", '"  "', "`text` is empty"),
    ("number for text", {"text": 3}, "`text` is a number, not text"),
    ("huge number for text", f'{{"text": {10**30}}}', "`text` is a number, not text"),
    ("boolean for text", {"text": True}, "`text` is a boolean, not text"),
    ("list for text", {"text": ["a"]}, "`text` is a list, not text"),
    ("object for text", {"text": {"a": 1}}, "`text` is an object, not text"),
    ("NaN for text", '{"text": NaN}', "`text` is NaN or Infinity, not text"),
    ("Infinity for text", '{"text": -Infinity}', "`text` is NaN or Infinity, not text"),
    ("infinite digits for text", '{"text": 1e999}', "`text` is NaN or Infinity, not text"),
    ("half a surrogate pair", '{"text": "a \\ud83d b"}', SURROGATE),
    ("NUL", {"text": "a\0b"}, NUL),
    ("NUL after backslashes", {"text": "\\\\\0"}, NUL),
    # prompt and completion
    ("prompt alone", {"prompt": "a"}, "`completion` is missing, needed for prompt_completion"),
    ("preferences", {"prompt": "a", "chosen": "b"}, "`completion` is missing, needed for prompt_completion"),
    ("null completion", {"prompt": "a", "completion": None}, "`completion` is null, needed for prompt_completion"),
    ("both empty", {"prompt": "", "completion": ""}, "`prompt` and `completion` are both empty"),
    ("both blank", {"prompt": " ", "completion": "\n"}, "`prompt` and `completion` are both empty"),
    ("number for a prompt", {"prompt": 1, "completion": "b"}, "`prompt` is a number, not text"),
    ("object for a completion", {"prompt": "a", "completion": {"b": 1}}, "`completion` is an object, not text"),
    ("no completion messages", {"prompt": [USER], "completion": []}, "`completion` is empty"),
    ("broken prompt JSON", {"prompt": '[{"role":', "completion": "b"}, "`prompt` is a string but not JSON"),
    ("half a pair in a prompt", '{"prompt": "\\udc00", "completion": "b"}', SURROGATE),
    ("null answer", {"question": "a", "answer": None}, "`answer` is null, needed for question_answer"),
    ("list of texts for an answer", {"question": "a", "answer": ["b"]}, "a message in `answer` is text, not an object"),
    # messages
    ("no messages", {"messages": []}, "`messages` is empty"),
    ("broken messages JSON", {"messages": "[{"}, "`messages` is a string but not JSON"),
    ("Python's repr of messages", {"messages": "[{'role': 'user'}]"}, "`messages` is a string but not JSON"),
    ("JSON text of messages", {"messages": '"hi"'}, "`messages` is text, not a list of messages"),
    ("one message alone", {"messages": {"role": "user"}}, "`messages` is an object, not a list of messages"),
    ("text for a message", {"messages": ["hi"]}, "a message in `messages` is text, not an object"),
    ("null for a message", {"messages": [None]}, "a message in `messages` is null, not an object"),
    ("no role", chat({"content": "hi"}), NO_ROLE),
    ("empty role", chat({"role": "", "content": "hi"}), NO_ROLE),
    ("blank role", chat({"role": " ", "content": "hi"}), NO_ROLE),
    ("number for a role", chat({"role": 1, "content": "hi"}), NO_ROLE),
    ("list for a role", chat({"role": ["user"], "content": "hi"}), NO_ROLE),
    ("no content", chat({"role": "assistant"}), NOTHING_SAID),
    ("null content", chat({"role": "assistant", "content": None}), NOTHING_SAID),
    ("no calls instead of content", chat({"role": "assistant", "tool_calls": []}), NOTHING_SAID),
    (
        "number for content",
        chat({"role": "user", "content": 4}),
        "`content` of a message in `messages` is a number, not text",
    ),
    (
        "NaN for content",
        '{"messages": [{"role": "user", "content": NaN}]}',
        "`content` of a message in `messages` is NaN or Infinity, not text",
    ),
    (
        "object for content",
        chat({"role": "user", "content": {"text": "a"}}),
        "`content` of a message in `messages` is an object, not text",
    ),
    ("no parts", chat({"role": "user", "content": []}), "`content` of a message in `messages` is an empty list"),
    (
        "text for a part",
        chat({"role": "user", "content": ["a"]}),
        "a part of `content` in `messages` is neither text nor an image",
    ),
    (
        "unknown part",
        chat({"role": "user", "content": [{"type": "audio"}]}),
        "a part of `content` in `messages` is neither text nor an image",
    ),
    (
        "part without type",
        chat({"role": "user", "content": [{"text": "a"}]}),
        "a part of `content` in `messages` is neither text nor an image",
    ),
    (
        "part without text",
        chat({"role": "user", "content": [{"type": "text"}]}),
        "a text part of `content` in `messages` has no `text`",
    ),
    ("nothing said", {"messages": [{"role": "user", "content": ""}]}, "nothing is said in the conversation"),
    ("object for a name", chat({**ANSWER, "name": {}}), "`name` of a message in `messages` is an object, not text"),
    (
        "list for thinking",
        chat({**ANSWER, "thinking": ["a"]}),
        "`thinking` of a message in `messages` is a list, not text",
    ),
    ("text for a weight", chat({**ANSWER, "weight": "1"}), "`weight` of a message in `messages` is text, not a number"),
    (
        "boolean for a weight",
        chat({**ANSWER, "weight": True}),
        "`weight` of a message in `messages` is a boolean, not a number",
    ),
    ("negative weight", chat({**ANSWER, "weight": -1}), "`weight` of a message in `messages` is negative"),
    (
        "NaN for a weight",
        '{"messages": [{"role": "user", "content": "a", "weight": NaN}]}',
        "`weight` of a message in `messages` is NaN or Infinity, not a number",
    ),
    (
        "endless weight",
        f'{{"messages": [{{"role": "user", "content": "a", "weight": {10**400}}}]}}',
        "a whole number has more than 64 bits",
    ),
    ("number for train", chat({**ANSWER, "train": 1}), "`train` of a message in `messages` is a number, not a boolean"),
    ("half a pair in a message", '{"messages": [{"role": "user", "content": "\\ud800"}]}', SURROGATE),
    ("half a pair in a key", '{"messages": [{"role": "user", "content": "a", "\\ud800": 1}]}', SURROGATE),
    ("NUL in a message", chat({"role": "assistant", "content": "\0"}), NUL),
    ("message nested 300 times", chat({**ANSWER, "x": json.loads(nested(300))}), DEEP),
    ("message nested 900 times", f'{{"messages": [{{"role": "user", "content": null, "x": {nested(900)}}}]}}', DEEP),
    # calls and tools
    (
        "object for calls",
        chat({"role": "assistant", "tool_calls": {"name": "f"}}),
        "`tool_calls` of a message in `messages` is an object, not a list",
    ),
    ("text for a call", calling("f"), "a tool call in `messages` is not an object with a function"),
    ("text for a function", calling({"function": "f"}), "a tool call in `messages` is not an object with a function"),
    ("no function name", calling({"function": {"arguments": {}}}), "a tool call in `messages` has no function name"),
    ("number for a function name", calling({"name": 3}), "a tool call in `messages` has no function name"),
    (
        "broken arguments",
        calling({"name": "f", "arguments": '{"a": '}),
        "`arguments` of a tool call in `messages` is a string but not JSON",
    ),
    (
        "list for arguments",
        calling({"name": "f", "arguments": [1]}),
        "`arguments` of a tool call in `messages` is a list, not an object",
    ),
    (
        "text within arguments",
        calling({"name": "f", "arguments": '"a"'}),
        "`arguments` of a tool call in `messages` is text, not an object",
    ),
    ("NaN in arguments", calling({"name": "f", "arguments": '{"a": NaN}'}), NON_FINITE),
    (
        "huge number in arguments",
        calling({"name": "f", "arguments": f'{{"a": {10**30}, "b": NaN}}'}),
        "a whole number has more than 64 bits",
    ),
    ("broken tools", {"messages": [USER], "tools": "[{"}, "`tools` is a string but not JSON"),
    ("number for tools", {"messages": [USER], "tools": 5}, "`tools` is not a list of objects"),
    ("names for tools", {"messages": [USER], "tools": ["add"]}, "`tools` is not a list of objects"),
    ("object for tools", {"messages": [USER], "tools": '{"a": 1}'}, "`tools` is not a list of objects"),
    (
        "text for template arguments",
        {"messages": [USER], "chat_template_kwargs": "x"},
        "`chat_template_kwargs` is a string but not JSON",
    ),
    (
        "list for template arguments",
        {"messages": [USER], "chat_template_kwargs": [1]},
        "`chat_template_kwargs` is not an object",
    ),
    ("list for a system prompt", {"messages": [USER], "system": ["s"]}, "`system` is a list, not text"),
    # ShareGPT
    ("no turns", {"conversations": []}, "`conversations` is empty"),
    ("broken turns", {"conversations": "[{]"}, "`conversations` is a string but not JSON"),
    ("text for a turn", {"conversations": ["hi"]}, "a message in `conversations` is text, not an object"),
    (
        "unknown speaker",
        {"conversations": [{"from": "narrator", "value": "a"}]},
        "a turn in `conversations` is from nobody we know",
    ),
    (
        "number for a speaker",
        {"conversations": [{"from": 1, "value": "a"}]},
        "a turn in `conversations` is from nobody we know",
    ),
    ("no speaker", {"conversations": [{"value": "a"}]}, "a message in `conversations` has no `role`"),
    (
        "null turn",
        {"conversations": [{"from": "gpt", "value": None}]},
        "a message in `conversations` has neither `content` nor `tool_calls`",
    ),
    (
        "broken function call",
        {"conversations": [{"from": "function_call", "value": "add(2)"}]},
        "a function call in `conversations` is a string but not JSON",
    ),
    (
        "null function call",
        {"conversations": [{"from": "function_call", "value": None}]},
        "a tool call in `conversations` is not an object with a function",
    ),
    (
        "nameless function call",
        {"conversations": [{"from": "function_call", "value": "{}"}]},
        "a tool call in `conversations` has no function name",
    ),
    # Alpaca
    ("no output", {"instruction": "a"}, "`output` is missing, needed for alpaca"),
    ("null output", {"instruction": "a", "output": None}, "`output` is null, needed for alpaca"),
    ("empty instruction", {"instruction": "", "output": "b"}, "`instruction` is empty"),
    ("blank instruction", {"instruction": " ", "input": "", "output": "b"}, "`instruction` is empty"),
    ("number for an output", {"instruction": "a", "output": 4}, "`output` is a number, not text"),
    ("number for an input", {"instruction": "a", "output": "b", "input": 4}, "`input` is a number, not text"),
    ("text for a history", {"instruction": "a", "output": "b", "history": "h"}, NO_PAIRS),
    ("half a turn of history", {"instruction": "a", "output": "b", "history": [["q"]]}, NO_PAIRS),
    ("null in a history", {"instruction": "a", "output": "b", "history": [["q", None]]}, NO_PAIRS),
    # trlX
    ("odd dialogue", ["a", "b", "c"], "`samples` has an odd number of strings; prompts and outputs alternate"),
    ("empty dialogue", [], "`samples` is empty"),
    ("blank dialogue", {"dialogue": ["", " "]}, "`dialogue` is empty"),
    ("null in a dialogue", {"samples": ["a", None]}, "`samples` is not a list of strings"),
    ("broken dialogue", {"samples": "['a', 'b']"}, "`samples` is a string but not JSON"),
    # token ids
    ("no ids", {"input_ids": []}, "`input_ids` is empty"),
    ("text for ids", {"input_ids": "1 2"}, "`input_ids` is text, not a list of whole numbers"),
    ("negative id", {"input_ids": [5, -1]}, ID_RANGE),
    ("huge id", {"input_ids": [5, 2**31]}, ID_RANGE),
    ("boolean id", {"input_ids": [5, True]}, NO_WHOLE_NUMBER),
    ("fractional id", {"input_ids": [5, 6.0]}, NO_WHOLE_NUMBER),
    ("null id", {"input_ids": [5, None]}, NO_WHOLE_NUMBER),
    ("batch of ids", {"input_ids": [[5, 6]]}, NO_WHOLE_NUMBER),
    ("short mask", tokens(completion_mask=[0, 1]), "`completion_mask` has another length than `input_ids`"),
    ("long mask", tokens(assistant_masks=[0, 1, 1, 1]), "`assistant_masks` has another length than `input_ids`"),
    ("mask of 2", tokens(completion_mask=[0, 1, 2]), MASK),
    ("fractional mask", tokens(completion_mask=[0.0, 1.0, 1.0]), MASK),
    ("text for a mask", tokens(completion_mask="011"), MASK),
    ("lists in a mask", tokens(completion_mask=[[0], [1], [1]]), MASK),
    ("short labels", tokens(labels=[-100, 6]), "`labels` has another length than `input_ids`"),
    ("text for labels", tokens(labels="6"), "`labels` is text, not a list of whole numbers"),
    (
        "shifted labels",
        tokens(labels=[6, 7, -100]),
        "`labels` are shifted by one already; expected each in the place of its own token",
    ),
    ("other labels", tokens(labels=[-100, 9, 7]), "`labels` differ from `input_ids` where they are not -100"),
    ("huge label", tokens(labels=[-100, 6, 2**63]), "`labels` differ from `input_ids` where they are not -100"),
    ("all padding", tokens(attention_mask=[0, 0, 0]), "`attention_mask` leaves no token"),
    ("padding inside", tokens(attention_mask=[1, 0, 1]), "`attention_mask` has a hole"),
    # images
    ("half a pair in an image", '{"text": "a", "image": "\\ud800.jpg"}', SURROGATE),
    ("NaN for an image", '{"text": "a", "images": [NaN]}', f"an image is NaN or Infinity, {NO_IMAGE}"),
    ("null among images", {"text": "a", "images": ["a.jpg", None]}, f"an image is null, {NO_IMAGE}"),
    ("images in lists", {"text": "a", "images": [["a.jpg"]]}, f"an image is a list, {NO_IMAGE}"),
    ("a number for images", {"text": "a", "image": 7}, f"an image is a number, {NO_IMAGE}"),
    ("an image of nothing", {"text": "a", "image": {"bytes": None, "path": None}}, NO_BYTES),
    ("an object for an image", {"text": "a", "image": {"file": "a.jpg"}}, NO_BYTES),
    (
        "an image of numbers",
        {"text": "a", "image": {"bytes": [255, 216]}},
        "an image's `bytes` and `path` are not both text or null",
    ),
    ("a blank path", {"text": "a", "image": " "}, "an image's path is empty"),
    ("a web address", {"text": "a", "images": ["https://example.org/a.jpg"]}, AT_AN_ADDRESS),
    ("an address of a bucket", {"text": "a", "image": {"path": "s3://bucket/a.jpg"}}, AT_AN_ADDRESS),
    (
        "a web address in a part",
        chat({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://example.org/a.jpg"}}]}),
        AT_AN_ADDRESS,
    ),
    (
        "a data URL of text",
        {"text": "a", "image": "data:image/svg+xml,<svg/>"},
        "an image is a data URL that is not base64",
    ),
    ("both columns", {"text": "a", "image": "a.jpg", "images": ["b.jpg"]}, "the row has both `image` and `images`"),
    (
        "two images in a part",
        chat({"role": "user", "content": [{"type": "image", "image": "a.jpg", "url": "b.jpg"}]}),
        "a part of `content` has more than one image",
    ),
    (
        "more marks than images",
        {"messages": [{"role": "user", "content": "<image><image>?"}, ANSWER], "images": ["a.jpg"]},
        counts("1 image", "2 places"),
    ),
    (
        "more images than parts",
        {"messages": [{"role": "user", "content": [{"type": "image"}]}, ANSWER], "images": ["a.jpg", "b.jpg"]},
        counts("2 images", "1 place"),
    ),
    (
        "marks in an empty column",
        {"messages": [{"role": "user", "content": "<image>?"}, ANSWER], "images": []},
        counts("0 images", "1 place"),
    ),
    (
        "marks in a null column",
        {"prompt": [{"role": "user", "content": "<image>?"}], "completion": [ANSWER], "image": None},
        counts("0 images", "1 place"),
    ),
    (
        "a part without an image",
        chat({"role": "user", "content": [{"type": "image"}]}),
        counts("0 images", "1 place"),
    ),
    (
        "an image that nobody shows",
        {"messages": [{"role": "system", "content": "a"}, ANSWER], "image": "a.jpg"},
        "the row has images, but no mark for them and no text of a user to show them before",
    ),
]
