"""What we learn under the templates that models come with is what TRL learns under its patched copies of them.

TRL ships copies of some templates with `{% generation %}` blocks in them; we tell the turns from the originals. Its
blocks begin before the generation prompt in some copies, and most end behind the line break that follows the end token
(one behind the end token of the whole text); ours never do. Where TRL's copy writes another text than the original,
there is nothing to compare.
"""

from pathlib import Path

import pytest
import trl

from sft_core.data.chat.grammar import ASSISTANT, grammar_of
from sft_core.data.chat.parts import with_readable_contents
from sft_core.data.chat.spans import Rendering, turn_spans
from sft_core.data.chat.template import ChatTemplate
from sft_core.store.records import Conversation

pytestmark = pytest.mark.parity

FOLDER = Path(trl.__file__).parent / "chat_templates"
PATCHED = sorted(path.name.removesuffix("_training.jinja") for path in FOLDER.glob("*_training.jinja"))
OTHER_TEXT = {"glm4moe"}
TOKENS = (("bos_token", "<s>"), ("eos_token", "</s>"))
SPECIALS = ("<s>", "</s>", "<|end|>")
QUESTION = {"role": "user", "content": "2+2, please?"}
ANSWER = {"role": "assistant", "content": "It is 4."}


def learned(name: str) -> tuple[str, str]:
    """The text of a question and its answer, and what is learned of it."""
    grammar = grammar_of(ChatTemplate((FOLDER / f"{name}.jinja").read_text(), TOKENS, "2026-05-01", SPECIALS))
    messages = with_readable_contents(grammar, (QUESTION, ANSWER))
    rendering = Rendering.of(grammar, Conversation(messages))
    turns = [index for index, message in enumerate(messages) if message["role"] == ASSISTANT]
    spans = rendering.marked or [span for _, span in turn_spans(rendering, turns)]
    return rendering.text, "".join(rendering.text[slice(*span)] for span in spans)


@pytest.mark.parametrize("name", [name for name in PATCHED if name not in OTHER_TEXT])
def test_the_answer_is_learned_as_trl_learns_it(name: str) -> None:
    text, ours = learned(name)
    their_text, theirs = learned(f"{name}_training")
    assert text == their_text
    assert ANSWER["content"] in ours
    assert any(said.rstrip("\n").endswith(ours) for said in (theirs, theirs.removesuffix("</s>")))
