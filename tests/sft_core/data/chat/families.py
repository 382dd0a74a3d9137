"""The judge of the bundled templates: each format written down once more, in segments that are learned or not."""

from collections.abc import Callable, Iterator

BOS, EOS = "<s>", "</s>"
TOKENS = (("bos_token", BOS), ("eos_token", EOS))
Segments = Iterator[tuple[str, bool]]
Talk = list[tuple[str, str]]
"""(role, content)"""


def chatml(talk: Talk) -> Segments:
    for role, content in talk:
        yield f"<|im_start|>{role}\n", False
        yield f"{content}<|im_end|>", role == "assistant"
        yield "\n", False


def qwen2_5(talk: Talk) -> Segments:
    if talk[0][0] != "system":
        talk = [("system", "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."), *talk]
    yield from chatml(talk)


def qwen3(talk: Talk) -> Segments:
    """Only the last turn has room for thoughts, if it is the assistant's and answers somebody."""
    for number, (role, content) in enumerate(talk, start=1):
        thinks = number == len(talk) and role == "assistant" and any(role == "user" for role, _ in talk)
        said = "<think>\n\n</think>\n\n" + content.lstrip("\n") if thinks else content
        yield from chatml([(role, said)])


def llama3(talk: Talk) -> Segments:
    yield BOS, False
    for role, content in talk:
        yield f"<|start_header_id|>{role}<|end_header_id|>\n\n", False
        yield f"{content.strip()}<|eot_id|>", role == "assistant"


def phi3(talk: Talk) -> Segments:
    yield BOS, False
    for role, content in talk:
        yield f"<|{role}|>\n", False
        yield f"{content}<|end|>", role == "assistant"
        yield "\n", False
    yield EOS, False


def plain(talk: Talk) -> Segments:
    for number, (role, content) in enumerate(talk, start=1):
        yield content + EOS * (number == len(talk) and role == "assistant"), role == "assistant"


def gemma(talk: Talk) -> Segments:
    yield BOS, False
    for role, content in _with_system_in_the_first_request(talk, str.strip):
        yield f"<start_of_turn>{'model' if role == 'assistant' else 'user'}\n", False
        yield f"{content}<end_of_turn>", role == "assistant"
        yield "\n", False


def mistral(talk: Talk) -> Segments:
    yield BOS, False
    for role, content in _with_system_in_the_first_request(talk, str):
        yield (f" {content}{EOS}", True) if role == "assistant" else (f"[INST] {content}[/INST]", False)


def _with_system_in_the_first_request(talk: Talk, clean: Callable[[str], str]) -> Talk:
    system = clean(talk[0][1]) + "\n\n" if talk[0][0] == "system" else ""
    turns = [(role, clean(content)) for role, content in talk if role != "system"]
    first = next((number for number, (role, _) in enumerate(turns) if role == "user"), None)
    return [(role, system + content if number == first else content) for number, (role, content) in enumerate(turns)]


FAMILIES: dict[str, Callable[[Talk], Segments]] = {
    "chatml": chatml,
    "gemma": gemma,
    "llama3": llama3,
    "mistral": mistral,
    "phi3": phi3,
    "plain": plain,
    "qwen2.5": qwen2_5,
    "qwen3": qwen3,
}


def judged(family: str, talk: Talk) -> tuple[str, list[tuple[int, int]]]:
    """The text of a conversation, and where in it the assistant speaks."""
    text, spans = "", []
    for segment, is_learned in FAMILIES[family](talk):
        if is_learned:
            spans.append((len(text), len(text) + len(segment)))
        text += segment
    return text, spans
