"""What a rendering of probes tells: the constant text around the contents, and where turns begin and end in it.

A probe is a conversation whose contents are marks that no template knows. Rendered by ChatML, for the roles
(user, assistant):

    <|im_start|>user⏎ ⟦0⟧ <|im_end|>⏎<|im_start|>assistant⏎ ⟦1⟧ <|im_end|>⏎
    └── literal 0 ──┘     └─────────── literal 1 ──────────┘     └literal 2┘

Any other conversation of these roles is predicted by putting its contents in the place of the marks. Whether a
literal's characters belong to the turn before it, to the turn after it, or to neither is told by renderings of the
probe's beginnings.
"""

import functools
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

Strip = str | None
"""What a template strips off one side of a content, as the argument of `str.strip`: nothing, line breaks, or all white
space (None)."""
Message = dict[str, str]

_MARK = re.compile("\ue000(\\d+)\ue001")
# what is left of the white space around a mark; the sums of line breaks on both sides are all different, so that line
# breaks of the template's own cannot be taken for the content's
_LEFT: dict[Strip, str] = {"": "\n\u2003", "\n": "\u2003", None: ""}
_RIGHT: dict[Strip, str] = {"": "\u2003\n\n", "\n": "\u2003", None: ""}
_NOTHING: dict[Strip, str] = {"": ""}
_TAG = r"<[^<>\s]{1,40}>|\[[^\[\]\s]{1,40}\]"
"""What looks like a special token, for templates of another family than the tokenizer's."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The constant text of a sequence of roles, and which contents stand between."""

    literals: tuple[str, ...]
    """[contents + 1]"""
    contents: tuple[int, ...]
    """Positions of the messages whose contents they are: a template may leave some out, or change their order."""
    strips: tuple[tuple[Strip, Strip], ...]
    """[contents], left and right."""

    def pieces(self, contents: Sequence[str]) -> list[str]:
        """Literals and contents in turn; joined, they are the predicted rendering."""
        pieces = [self.literals[0]]
        for message, (left, right), literal in zip(self.contents, self.strips, self.literals[1:], strict=True):
            content = contents[message]
            pieces += (content if left == right == "" else content.lstrip(left).rstrip(right), literal)
        return pieces


@dataclass(frozen=True, slots=True)
class Turn:
    """What a template writes around the content of a turn, as far as the loss looks at it."""

    lead: str
    """After the generation prompt, before the content: a space, an empty thinking block."""
    close: str
    """After the content, up to and with the token that ends the turn."""
    promise: str = ""
    """What the generation prompt ends with and the turn, once it is there, does not begin with."""


def probe(roles: Sequence[str]) -> list[Message]:
    """A conversation of marks."""
    return [{"role": role, "content": mark(index)} for index, role in enumerate(roles)]


def spacious_probe(roles: Sequence[str]) -> list[Message]:
    """The same with white space around the marks, to see what the template strips."""
    return [{"role": role, "content": f"{_LEFT['']}{mark(index)}{_RIGHT['']}"} for index, role in enumerate(roles)]


def mark(index: int) -> str:
    """What stands for the content of a message."""
    return f"\ue000{index}\ue001"


def layout_of(rendered: str, spacious: str | None) -> Layout:
    """Read the renderings of both probes; without the second, no content is taken to be stripped."""
    literals, marks = split_at_marks(rendered)
    strips = _strips(literals, spacious) if spacious is not None else None
    return Layout(tuple(literals), tuple(marks), tuple(strips or [("", "")] * len(marks)))


def split_at_marks(rendered: str) -> tuple[list[str], list[int]]:
    """The text between marks, and the marks."""
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
    """What follows the last mark of a rendering, if that is the mark of this message (None: any)."""
    literals, marks = split_at_marks(rendered)
    return literals[-1] if not marks or mark is None or marks[-1] == mark else None


def start_in(head: str, prompt: str) -> tuple[str, str] | None:
    """Where in the text before a content the assistant begins to speak: where the generation prompt ends.

    Args:
        head: From the content before to this one.
        prompt: From the content before to the end of the generation prompt.

    Returns:
        The rest of the head (`Turn.lead`), and the rest of the prompt (`Turn.promise`): one is empty, or the prompt's
        is white space (`<think>⏎` is asked, `<think></think>` is written). None if the two are different.
    """
    if prompt.startswith(head):
        return "", prompt[len(head) :]
    asked = prompt if head.startswith(prompt) else prompt.rstrip()
    return (head[len(asked) :], prompt[len(asked) :]) if head.startswith(asked) else None


def close_in(after: str, alone: str, prompt: str, specials: Sequence[str]) -> str | None:
    """Which part of the text after a content belongs to its turn, up to and with the token that ends it.

    Args:
        after: From the content to the next one.
        alone: What follows the content where its message is the last one.
        prompt: The same with a generation prompt.
        specials: The tokenizer's special tokens.

    Returns:
        `Turn.close`; None if it cannot be told: the last turn ends otherwise than this one.
    """
    if not after or after.startswith(alone):
        return end_token_within(alone if after else "", specials)
    # such as "<|end|>⏎<|user|>⏎" between turns, but "<|end|>⏎<|endoftext|>" after the last one
    shared = max((_shared(after, other, specials) for other in (alone, prompt)), key=len)
    end = re.search(_tags(specials), shared)
    return shared[: end.end()] if end else None


def end_token_within(text: str, specials: Sequence[str]) -> str:
    """Cut behind the first special token; without one, the line break goes that follows what looks like one."""
    found = re.search(_alternatives(tuple(specials)), text) if specials else None
    return text[: found.end()] if found else without_line_break(text, ())


def without_line_break(text: str, specials: Sequence[str]) -> str:
    """Many templates put a line break behind the token that ends a turn: it belongs to nobody."""
    words = text.rstrip()
    return words if re.search(f"(?:{_tags(specials)})$", words) else text


def _shared(text: str, other: str, specials: Sequence[str]) -> str:
    """The common beginning, in whole special tokens: `<|user|>` and `<|end|>` share nothing."""
    atoms = re.compile(f"{_tags(specials)}|.", re.DOTALL)
    pairs = zip(atoms.findall(text), atoms.findall(other), strict=False)
    return "".join(atom for atom, _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def _tags(specials: Sequence[str]) -> str:
    return f"{_alternatives(tuple(specials))}|{_TAG}" if specials else _TAG


@functools.lru_cache(maxsize=16)
def _alternatives(specials: tuple[str, ...]) -> str:
    return "|".join(re.escape(token) for token in sorted(specials, key=len, reverse=True))


def words_of(content: str) -> list[str]:
    """The parts of a content that a template has to keep as they are, whatever it does to the tags and to the white
    space between."""
    return [words for part in re.split(_TAG, content) if (words := part.strip())]
