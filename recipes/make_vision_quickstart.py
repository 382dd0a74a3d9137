"""Make the vision quickstart: pictures of one coloured shape each, questions about them, and a processor.

Run it from the project root: `python recipes/make_vision_quickstart.py [folder]` (default: `recipes/vision_quickstart`,
which git does not keep). It writes in a few seconds

    images/       3,600 PNG files of 64 × 64 pixels: 8 colours × 5 shapes, with random position, size and shade
    chats.jsonl   a question and an answer about each: the object, its colour, its shape
    processor/    byte-level BPE trained on these chats, an image processor, and a chat template

No two pictures are equal, so a held-out question is about a picture that was not trained on. Every run writes the same
pictures and chats: all random choices come from one seed.
"""

import json
import random
import sys
from pathlib import Path

from make_quickstart import train_tokenizer
from PIL import Image, ImageDraw
from tokenizers import Tokenizer

SEED = 7
NUM_PICTURES = 3600
SIDE, OVERSAMPLING = 64, 2
"""Side of a picture in pixels, and the factor by which it is drawn larger; scaling down makes edges smooth."""
COLOURS = {
    "red": (220, 40, 40),
    "green": (40, 170, 60),
    "blue": (50, 80, 220),
    "yellow": (235, 210, 50),
    "purple": (150, 60, 190),
    "orange": (240, 140, 40),
    "white": (245, 245, 245),
    "pink": (250, 150, 190),
}
SHAPES = ("circle", "square", "triangle", "cross", "ring")
QUESTIONS = {
    "What is in the picture?": "A {colour} {shape}.",
    "What do you see here?": "A {colour} {shape}.",
    "Which shape is it, and in which colour?": "A {colour} {shape}.",
    "Which colour has the shape?": "It is {colour}.",
    "Which shape is in the picture?": "It is a {shape}.",
}
END, PAD = "<|im_end|>", "<|pad|>"
SPECIAL_TOKENS = [
    "<|im_start|>",
    END,
    PAD,
    "<image>",
    "<fake_token_around_image>",
    "<global-img>",
    "<end_of_utterance>",
]
IMAGE_TOKENS = 16
"""Number of tokens per image: 32 × 32 pixels in patches of 4 × 4, of which 2 × 2 become one token."""
HERE = Path(__file__).parent
CHAT_TEMPLATE = """\
{%- for message in messages -%}
<|im_start|>{{ message['role'] + '\\n' }}
{%- if message['role'] == 'assistant' -%}
{%- generation -%}{{ text_of(message) + '<|im_end|>' }}{%- endgeneration -%}
{%- else -%}
{{ text_of(message) + '<|im_end|>' }}
{%- endif -%}
{{ '\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
<|im_start|>assistant{{ '\\n' }}
{%- endif -%}
"""
TEXT_OF = """\
{%- macro text_of(message) -%}
{%- if message['content'] is string -%}
{{ message['content'] }}
{%- else -%}
{%- for part in message['content'] -%}
{%- if part['type'] == 'image' -%}<image>{%- else -%}{{ part['text'] }}{%- endif -%}
{%- endfor -%}
{%- endif -%}
{%- endmacro -%}
"""


def draw(chance: random.Random, colour: str, shape: str) -> Image.Image:
    """Draw one shape on a dark background, `SIDE` × `SIDE` pixels."""
    side = SIDE * OVERSAMPLING
    ground = tuple(chance.randrange(0, 70) for _ in range(3))
    shade = chance.randrange(-15, 16)
    paint = tuple(max(0, min(255, value + shade)) for value in COLOURS[colour])
    radius = chance.uniform(0.3, 0.42) * side
    x, y = (chance.uniform(radius, side - radius) for _ in range(2))
    picture = Image.new("RGB", (side, side), ground)
    pen = ImageDraw.Draw(picture)

    def box(width: float, height: float) -> tuple[float, float, float, float]:
        return x - width * radius, y - height * radius, x + width * radius, y + height * radius

    if shape in ("circle", "ring"):
        pen.ellipse(box(1, 1), fill=paint)
    if shape == "ring":
        pen.ellipse(box(0.55, 0.55), fill=ground)
    elif shape == "square":
        pen.rectangle(box(0.9, 0.9), fill=paint)
    elif shape == "triangle":
        left, top, right, bottom = box(1, 0.95)
        pen.polygon([(x, top), (left, bottom), (right, bottom)], fill=paint)
    elif shape == "cross":
        pen.rectangle(box(1, 0.33), fill=paint)
        pen.rectangle(box(0.33, 1), fill=paint)
    return picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def make_chats(images: Path) -> list[dict[str, object]]:
    """Draw all pictures into the folder `images`, and return one row for each."""
    chance = random.Random(SEED)
    images.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, object]] = []
    for number in range(NUM_PICTURES):
        colour, shape = chance.choice(list(COLOURS)), chance.choice(SHAPES)
        question, answer = chance.choice(list(QUESTIONS.items()))
        name = f"{number:04d}.png"
        draw(chance, colour, shape).save(images / name)
        messages = [
            {"role": "user", "content": f"<image>{question}"},
            {"role": "assistant", "content": answer.format(colour=colour, shape=shape)},
        ]
        rows.append({"messages": messages, "images": [f"images/{name}"]})
    return rows


def save_processor(tokenizer: Tokenizer, folder: Path) -> None:
    """Write the files that `AutoProcessor.from_pretrained` reads, in the form of SmolVLM's checkpoints."""
    folder.mkdir(parents=True, exist_ok=True)
    tokens = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "processor_class": "Idefics3Processor",
        "eos_token": END,  # generation stops where an answer ends
        "pad_token": PAD,
        "clean_up_tokenization_spaces": False,
    }
    images = {
        "image_processor_type": "Idefics3ImageProcessor",
        "do_image_splitting": False,
        "size": {"longest_edge": 32},
        "max_image_size": {"longest_edge": 32},
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
    }
    processor = {"processor_class": "Idefics3Processor", "image_seq_len": IMAGE_TOKENS, "image_processor": images}
    (folder / "tokenizer.json").write_text(tokenizer.to_str(pretty=True) + "\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(tokens, indent=2) + "\n", encoding="utf-8")
    (folder / "processor_config.json").write_text(json.dumps(processor, indent=2) + "\n", encoding="utf-8")
    (folder / "chat_template.jinja").write_text(TEXT_OF + CHAT_TEMPLATE, encoding="utf-8")


def main(folder: Path) -> None:
    """Write pictures, chats and processor into `folder`."""
    rows = make_chats(folder / "images")
    texts = [message["content"].removeprefix("<image>") for row in rows for message in row["messages"]]  # type: ignore[attr-defined]
    tokenizer = train_tokenizer(texts, SPECIAL_TOKENS)
    save_processor(tokenizer, folder / "processor")
    (folder / "chats.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    print(f"{len(rows):,} pictures, chats about them and a processor are in {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "vision_quickstart")
