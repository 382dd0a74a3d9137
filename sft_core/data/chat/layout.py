"""Learn a template's layout from renderings of probes: the constant text around contents, and the borders of turns.

A probe is a conversation whose contents are marks that no template knows. ChatML renders the probe of the roles
(user, assistant) as:

    <|im_start|>user⏎ ⟦0⟧ <|im_end|>⏎<|im_start|>assistant⏎ ⟦1⟧ <|im_end|>⏎
    └── literal 0 ──┘     └─────────── literal 1 ──────────┘     └literal 2┘

Replacing the marks by contents predicts the rendering of any other conversation of these roles. Renderings of the
probe's prefixes show whether a literal's characters belong to the turn before it, to the turn after it, or to neither.
"""

import functools
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

Strip = str | None
"""Characters that a template strips off one side of a content, as the argument of `str.strip`: nothing (""), line
breaks ("\\n"), or all white space (None)."""
Message = dict[str, str]

_MARK = re.compile("\ue000(\\d+)\ue001")
# what stripping leaves of the white space around a mark; the sums of line breaks on both sides all differ, so that the
# template's own line breaks cannot be mistaken for the content's
_LEFT: dict[Strip, str] = {"": "\n\u2003", "\n": "\u2003", None: ""}
_RIGHT: dict[Strip, str] = {"": "\u2003\n\n", "\n": "\u2003", None: ""}
_NOTHING: dict[Strip, str] = {"": ""}
_TAG = r"<[^<>\s]{1,40}>|\[[^\[\]\s]{1,40}\]"
"""Pattern of texts that look like special tokens, for templates of another model family than the tokenizer's."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The constant text that a template writes for a sequence of roles, and the positions of contents in it."""

    literals: tuple[str, ...]
    """[contents + 1] constant texts before, between and after the contents."""
    contents: tuple[int, ...]
    """[contents] position of the message that each content belongs to. A template may omit contents or reorder them."""
    strips: tuple[tuple[Strip, Strip], ...]
    """[contents] characters stripped off the left and the right side."""

    def pieces(self, contents: Sequence[str]) -> list[str]:
        """Return literals and contents alternately; joined, they are the predicted rendering.

        Args:
            contents: [messages] content of each message.
        """
        pieces = [self.literals[0]]
        for message, (left, right), literal in zip(self.contents, self.strips, self.literals[1:], strict=True):
            content = contents[message]
            pieces += (content if left == right == "" else content.lstrip(left).rstrip(right), literal)
        return pieces


@dataclass(frozen=True, slots=True)
class Turn:
    """The text around the content of a turn that the loss covers together with the content."""

    lead: str
    """Text between the generation prompt and the content, such as a space or an empty thinking block."""
    close: str
    """Text after the content, up to and including the token that ends the turn."""
    promise: str = ""
    """End of the generation prompt that a finished turn lacks."""


def probe(roles: Sequence[str]) -> list[Message]:
    """Return a conversation whose contents are marks."""
    return [{"role": role, "content": mark(index)} for index, role in enumerate(roles)]


def spacious_probe(roles: Sequence[str]) -> list[Message]:
    """Return the probe with white space around the marks, which shows what the template strips."""
    return [{"role": role, "content": f"{_LEFT['']}{mark(index)}{_RIGHT['']}"} for index, role in enumerate(roles)]


def mark(index: int) -> str:
    """Return the mark that represents the content of a message in a probe."""
    return f"\ue000{index}\ue001"


def layout_of(rendered: str, spacious: str | None) -> Layout:
    """Read a layout from the renderings of both probes.

    Args:
        rendered: Rendering of `probe`.
        spacious: Rendering of `spacious_probe`; if None, the layout strips nothing.
    """
    literals, marks = split_at_marks(rendered)
    strips = _strips(literals, spacious) if spacious is not None else None
    return Layout(tuple(literals), tuple(marks), tuple(strips or [("", "")] * len(marks)))


def split_at_marks(rendered: str) -> tuple[list[str], list[int]]:
    """Split a rendering into the texts around its marks ([marks + 1]) and the numbers of the marks ([marks])."""
    parts = _MARK.split(rendered)
    return parts[::2], [int(mark) for mark in parts[1::2]]


def _strips(literals: list[str], spacious: str) -> list[tuple[Strip, Strip]] | None:
    gaps, _ = split_at_marks(spacious)
    if len(gaps) != len(literals):
        return None
    rights: list[Strip] = []
    lefts: list[Strip] = []
    for number, (gap, literal) in enumerate(zip(gaps, literals, strict=True)):
        after = _RIGHT if number else _NOTHING
        before = _LEFT if number < len(gaps) - 1 else _NOTHING
        sides = itertools.product(after, before)
        found = next(((right, left) for right, left in sides if gap == after[right] + literal + before[left]), None)
        if found is None:
            return None
        rights.append(found[0])
        lefts.append(found[1])
    return list(zip(lefts[:-1], rights[1:], strict=True))


def tail(rendered: str, mark: int | None) -> str | None:
    """Return the text after the last mark of a rendering.

    Args:
        rendered: The rendering of a probe.
        mark: Number that the last mark must have; None allows any.

    Returns:
        None if the last mark is another one.
    """
    literals, marks = split_at_marks(rendered)
    return literals[-1] if not marks or mark is None or marks[-1] == mark else None


def start_in(head: str, prompt: str) -> tuple[str, str] | None:
    """Find the end of the generation prompt in the text before a content: the assistant's turn begins there.

    Args:
        head: Text from the previous content to this one.
        prompt: Text from the previous content to the end of the generation prompt.

    Returns:
        The rest of the head (`Turn.lead`) and the rest of the prompt (`Turn.promise`). One of them is empty, or the
        prompt's rest is white space (the prompt has `<think>⏎`, the turn `<think></think>`). None if head and prompt
        differ.
    """
    if prompt.startswith(head):
        return "", prompt[len(head) :]
    asked = prompt if head.startswith(prompt) else prompt.rstrip()
    return (head[len(asked) :], prompt[len(asked) :]) if head.startswith(asked) else None


def close_in(after: str, alone: str, prompt: str, specials: Sequence[str]) -> str | None:
    """Return the part of the text after a content that belongs to its turn, up to and including its end token.

    Args:
        after: Text from the content to the next one.
        alone: Text after the content if its message is the last one.
        prompt: The same with a generation prompt.
        specials: The tokenizer's special tokens.

    Returns:
        `Turn.close`; None if the last turn ends differently from this one, so that it cannot be determined.
    """
    if not after or after.startswith(alone):
        return end_token_within(alone if after else "", specials)
    # such as "<|end|>⏎<|user|>⏎" between turns, but "<|end|>⏎<|endoftext|>" after the last one
    shared = max((_shared(after, other, specials) for other in (alone, prompt)), key=len)
    end = re.search(_tags(specials), shared)
    return shared[: end.end()] if end else None


def end_token_within(text: str, specials: Sequence[str]) -> str:
    """Cut a text after its first special token; without one, remove the white space after a tag that ends the text."""
    found = re.search(_alternatives(tuple(specials)), text) if specials else None
    return text[: found.end()] if found else without_line_break(text, ())


def without_line_break(text: str, specials: Sequence[str]) -> str:
    """Remove the white space after a special token or tag that ends the text.

    Many templates put a line break after the token that ends a turn; it belongs to no turn.
    """
    words = text.rstrip()
    return words if re.search(f"(?:{_tags(specials)})$", words) else text


def _shared(text: str, other: str, specials: Sequence[str]) -> str:
    """Return the longest common prefix in whole special tokens: `<|user|>` and `<|end|>` share nothing."""
    atoms = re.compile(f"{_tags(specials)}|.", re.DOTALL)
    pairs = zip(atoms.findall(text), atoms.findall(other), strict=False)
    return "".join(atom for atom, _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def _tags(specials: Sequence[str]) -> str:
    return f"{_alternatives(tuple(specials))}|{_TAG}" if specials else _TAG


@functools.lru_cache(maxsize=16)
def _alternatives(specials: tuple[str, ...]) -> str:
    return "|".join(re.escape(token) for token in sorted(specials, key=len, reverse=True))


def words_of(content: str) -> list[str]:
    """Return the parts of a content between its tags, stripped.

    A template has to write these parts unchanged, whatever it does to the tags and to the white space.
    """
    return [words for part in re.split(_TAG, content) if (words := part.strip())]
