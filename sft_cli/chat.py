"""`sft chat`: talk to a model in the terminal, or ask it one question through a pipe."""

import io
import os
import sys
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sft_cli.options import Debug
from sft_cli.session import Session, session
from sft_core.errors import RecipeError

if TYPE_CHECKING:
    from sft_core.registry.serving import ChatModel

HELP = "/reset forgets the conversation, /system TEXT sets the system message, /exit or Ctrl-D ends."
IMAGE_HELP = "/image FILE shows it with the next question. "


def chat(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="A model's folder, a run's id, `models:/NAME@ALIAS` or `models:/NAME/1`."),
    ],
    max_tokens: Annotated[
        int, typer.Option("--max-tokens", min=1, help="Maximum number of tokens of an answer.")
    ] = 256,
    temperature: Annotated[float, typer.Option("--temperature", min=0.0, help="0 takes the likeliest token.")] = 0.0,
    system: Annotated[str | None, typer.Option("--system", help="System message.")] = None,
    image: Annotated[
        list[Path] | None,
        typer.Option("--image", metavar="FILE", help="Image sent with the first question; may be given again."),
    ] = None,
    is_json: Annotated[
        bool, typer.Option("--json", help="Answer standard input once, with one JSON object on stdout.")
    ] = False,
    is_debugging: Debug = False,
) -> None:
    """Talk to a model, in this process: on the GPU where there is one. A pipe asks one question: echo Why? | sft chat
    MODEL.
    """
    with session(is_json, is_debugging) as current:
        loaded = _load(current, model, is_debugging)
        talk = Talk(loaded, max_tokens, temperature, system)
        for file in image or []:
            talk.show(file)
        if is_json or not sys.stdin.isatty():
            _answer_once(current, talk, sys.stdin.read())
        else:
            current.notify(f"{model} on {loaded.device}. {IMAGE_HELP if loaded.sees_images else ''}{HELP}")
            converse(talk, _read_line, _write)


@dataclass
class Talk:
    """A conversation with a model: the turns so far, and the generation settings."""

    model: "ChatModel"
    max_tokens: int
    temperature: float
    system: str | None = None
    turns: list[dict[str, Any]] = field(default_factory=list)
    images: list[dict[str, Any]] = field(default_factory=list)
    """Image parts to send with the next question."""

    def __post_init__(self) -> None:
        self._check_system()

    def set_system(self, text: str | None) -> None:
        """Replace the system message, and start a new conversation."""
        self.system = text or None
        self._check_system()
        self.turns.clear()

    def show(self, file: Path) -> None:
        """Send an image with the next question.

        Raises:
            RecipeError: if the model accepts no images, or the file is not an image.
        """
        if not self.model.sees_images:
            raise RecipeError(f"{file}: this model accepts no images; ask with text only")
        self.images.append({"type": "image", "image": as_data_url(file)})

    def forget(self) -> None:
        """Start a new conversation, without the images that wait."""
        self.turns.clear()
        self.images.clear()

    def ask(self, text: str, write: Callable[[str], Any]) -> str:
        """Answer a question and add both to the conversation.

        A model without a chat template continues the text, and no conversation is kept.
        """
        if not self.model.is_chat:
            return self.model.say(text, self.max_tokens, self.temperature, write)
        first = [{"role": "system", "content": self.system}] if self.system else []
        content = [*self.images, {"type": "text", "text": text}] if self.images else text
        asked = [*self.turns, {"role": "user", "content": content}]
        answer = self.model.say([*first, *asked], self.max_tokens, self.temperature, write)
        self.turns = [*asked, {"role": "assistant", "content": answer}]
        self.images.clear()
        return answer

    def _check_system(self) -> None:
        if self.system and not self.model.is_chat:
            self.system = None
            raise RecipeError("--system: this model has no chat template, and continues plain text; leave it out")


COMMANDS: Mapping[str, Callable[[Talk, str], None]] = {
    "/reset": lambda talk, _: talk.forget(),
    "/system": Talk.set_system,
    "/image": lambda talk, name: talk.show(Path(name).expanduser()),
}


def converse(talk: Talk, read: Callable[[], str], write: Callable[[str], Any]) -> None:
    """Ask and answer until the end of the input or `/exit`.

    Args:
        talk: The conversation.
        read: Returns the next line of input, and raises EOFError at the end.
        write: Called with each part of an answer.
    """
    while True:
        try:
            line = read().strip()
        except EOFError:
            write("\n")
            return
        command, _, rest = line.partition(" ")
        try:
            if command == "/exit":
                return
            if command in COMMANDS:
                COMMANDS[command](talk, rest.strip())
            elif line:
                talk.ask(line, write)
                write("\n")
        except KeyboardInterrupt:  # ends and discards the answer; the conversation continues
            write("\n")
        except RecipeError as error:
            write(f"{error}\n")


def as_data_url(file: Path) -> str:
    """Read and check an image file, and return it as a data URL.

    Raises:
        RecipeError: if the file cannot be read, or is not an image that the model can be given.
    """
    from sft_core.data.images import ImagesConfig
    from sft_core.data.images.check import check_image
    from sft_core.data.images.refusal import ImageRefusedError

    try:
        content = file.read_bytes()
        check_image(io.BytesIO(content), ImagesConfig().max_pixels)
    except OSError as error:
        raise RecipeError(f"{file}: {error.strerror or error}") from error
    except ImageRefusedError as error:
        raise RecipeError(f"{file}: {error}") from error
    return f"data:image;base64,{b64encode(content).decode()}"


def _answer_once(current: Session, talk: Talk, text: str) -> None:
    text = text.rstrip("\n")
    if not text:
        raise RecipeError("sft chat: expected a question on standard input, found nothing")
    answer = talk.ask(text, (lambda _: None) if current.is_json else _write)
    if not current.is_json:
        _write("\n")
    current.emit({"prompt": text, "answer": answer, "device": talk.model.device})


def _load(current: Session, reference: str, is_debugging: bool) -> "ChatModel":
    """Find and load the model. A model named by its folder needs no state directory."""
    from sft_core.processes.runtime import RuntimeConfig

    home = RuntimeConfig().home_folder(os.environ)
    if not Path(reference).expanduser().is_dir():
        current.open_home()
    from tasks.tracking.model_references import open_model

    found = open_model(reference, home)
    from sft_core.registry.serving import ChatModel

    if not is_debugging:
        from transformers.utils import logging

        logging.set_verbosity_error()
        logging.disable_progress_bar()
    return ChatModel(found.folder)


def _read_line() -> str:
    return input("> ")


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
