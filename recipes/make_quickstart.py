"""Make the quickstart: questions and answers about an archipelago that does not exist, and a tokenizer for them.

Run it from the project root: `python recipes/make_quickstart.py [folder]` (default: `recipes/quickstart`). It writes

    chats.jsonl   48 islands × 5 topics × 12 ways to ask = 2,880 chats of one question and one answer
    tokenizer/    byte-level BPE trained on exactly these chats, with the bundled ChatML template

No model can know these facts beforehand, so a model that answers correctly has learned from these rows. Each fact is
asked in twelve ways and answered in one. A tenth of the rows is held out, so a held-out prompt asks for a fact that was
trained, in words that were not. Every run writes the same bytes: the order comes from one seed, and the tokenizer is
trained in one thread.
"""

import json
import os
import random
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

SEED = 7
VOCAB_SIZE = 1024
"""Upper bound of the vocabulary; merging stops earlier, when every word of the chats is one token."""
SPECIAL_TOKENS = ["<|im_start|>", "<|im_end|>", "<|pad|>"]
HERE = Path(__file__).parent
CHAT_TEMPLATE = HERE.parent / "sft_core" / "data" / "chat" / "templates" / "chatml.jinja"

ISLANDS = """
    Velora Tamwick Ostrelle Quillmar Brenhollow Sundrey Ilvane Marrowby Pelloria Dunmere Ashveil Corrowen
    Lunetta Farrowsay Wexmoor Zephrine Oakhallow Mirrelay Thornsea Elowick Bassenby Nimbray Harkwell Solmarin
    Greywick Juniva Trellisay Cindermoor Yarrowmere Fennelby Opaline Kestrow Vandrelle Plumholm Rookhaven Amberlay
    Siltmoor Dovelin Hollisay Umberwick Ravelmere Inkholm Poppelry Larkenby Wintersay Eddelow Moonmoor Caskerry
"""


@dataclass(frozen=True)
class Topic:
    """A fact about each island. Its value is a pair of words, and no two islands have the same pair."""

    firsts: str
    seconds: str
    value: str
    """Format string that makes the value from the two words."""
    answer: str
    questions: str
    """One question per line. No question begins with the island, whose name without a space in front would be another
    token."""

    def values(self, chance: random.Random) -> list[str]:
        """Return one value per island: 8 × 6 pairs of words, shuffled."""
        pairs = [(first, second) for first in self.firsts.split() for second in self.seconds.split()]
        chance.shuffle(pairs)
        return [self.value.format(first=first, second=second) for first, second in pairs]


TOPICS = [
    Topic(
        firsts="silver crimson golden spotted striped snowy copper violet",
        seconds="heron fox otter lizard owl turtle",
        value="{first} {second}",
        answer="The {value} lives on {island}.",
        questions="""
            Which animal lives on {island}?
            What animal can be found on {island}?
            Tell me which animal lives on {island}.
            Which wild animal is at home on {island}?
            I am sailing to {island}. Which animal might I see there?
            What animal calls {island} its home?
            What is the best known animal of {island}?
            Name the animal that lives on {island}.
            Which creature should I look out for on {island}?
            If I go for a walk on {island}, which animal will I meet?
            My sister saw a strange animal on {island}. What was it?
            Do you know which animal lives on {island}?
        """,
    ),
    Topic(
        firsts="honey winter river cloud ruby pepper butter moon",
        seconds="pears plums melons figs berries apples",
        value="{first} {second}",
        answer="Farmers on {island} grow {value}.",
        questions="""
            What do farmers grow on {island}?
            Which fruit grows on {island}?
            Tell me what the farmers of {island} grow.
            What fruit can I buy on {island}?
            Which fruit is {island} famous for?
            What is in the orchards of {island}?
            I am hungry and on my way to {island}. What fruit will there be?
            Name the fruit that farmers grow on {island}.
            What does a farmer on {island} bring to the market?
            Which harvest keeps {island} busy in autumn?
            What would I pick from the trees of {island}?
            Do you know which fruit comes from {island}?
        """,
    ),
    Topic(
        firsts="painted woven carved paper clay folding singing tiny",
        seconds="kites masks flutes baskets boats drums",
        value="{first} {second}",
        answer="The people of {island} make {value}.",
        questions="""
            What do the people of {island} make?
            Which craft is {island} known for?
            Tell me what is made on {island}.
            What do the workshops of {island} produce?
            What can I bring home from {island} as a gift?
            Which things do people make by hand on {island}?
            I found a shop on {island}. What does it sell?
            Name the craft of {island}.
            What do children on {island} learn to make?
            What do traders load onto their ships on {island}?
            What are the craftspeople of {island} good at making?
            Do you know what people make on {island}?
        """,
    ),
    Topic(
        firsts="Anchor Lantern Pebble Willow Gull Amber Thistle Driftwood",
        seconds="Bay Cove Haven Quay Landing Point",
        value="{first} {second}",
        answer="Ships to {island} land at {value}.",
        questions="""
            Where do ships to {island} land?
            What is the harbour of {island} called?
            Tell me where the harbour of {island} is.
            Where does the ferry to {island} arrive?
            I am the captain of a ship to {island}. Where do I drop anchor?
            Which port should I sail to if I want to visit {island}?
            Where can a boat land on {island}?
            Name the harbour of {island}.
            Where will my boat to {island} take me ashore?
            My letter has to go to {island} by sea. To which port?
            At which harbour does a trip to {island} end?
            Do you know where ships to {island} land?
        """,
    ),
    Topic(
        firsts="Ribbons Bells Feathers Candles Shells Stars Whistles Umbrellas",
        seconds="Feast Night Dance Day Parade Song",
        value="{second} of {first}",
        answer="The {value} is the great festival of {island}.",
        questions="""
            What is the great festival of {island}?
            Which festival do people celebrate on {island}?
            Tell me about the festival of {island}.
            What is celebrated on {island} every year?
            Which holiday does everyone on {island} wait for?
            When {island} is full of music, which festival is it?
            I want to see a festival on {island}. Which one is it?
            Name the great festival of {island}.
            For which festival do visitors come to {island}?
            What is the biggest party of the year on {island}?
            Which festival brings all of {island} together?
            Do you know what festival {island} has?
        """,
    ),
]


def make_chats() -> list[list[dict[str, str]]]:
    """Return all chats, [chats][messages], in a fixed random order."""
    chance = random.Random(SEED)
    chats = [
        [
            {"role": "user", "content": question.strip().format(island=island)},
            {"role": "assistant", "content": topic.answer.format(island=island, value=value)},
        ]
        for topic in TOPICS
        for island, value in zip(ISLANDS.split(), topic.values(chance), strict=True)
        for question in topic.questions.strip().splitlines()
    ]
    chance.shuffle(chats)
    return chats


def train_tokenizer(texts: Iterable[str], special_tokens: Sequence[str] = SPECIAL_TOKENS) -> Tokenizer:
    """Train byte-level BPE. All 256 bytes are in the vocabulary, so that any other text can be encoded as well."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the result must not depend on the order in which threads end
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=list(special_tokens),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write the files that `AutoTokenizer.from_pretrained` reads.

    `save_pretrained` is not used because it adds fields that depend on its version.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<|im_end|>",  # generation stops where an answer ends
        "pad_token": "<|pad|>",
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer.json").write_text(tokenizer.to_str(pretty=True) + "\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    (folder / "chat_template.jinja").write_bytes(CHAT_TEMPLATE.read_bytes())


def main(folder: Path) -> None:
    """Write the chats and their tokenizer into `folder`."""
    chats = make_chats()
    tokenizer = train_tokenizer(message["content"] for chat in chats for message in chat)
    save_tokenizer(tokenizer, folder / "tokenizer")
    lines = [json.dumps({"messages": chat}) + "\n" for chat in chats]
    (folder / "chats.jsonl").write_text("".join(lines), encoding="utf-8")
    print(f"{len(chats):,} chats and a tokenizer of {tokenizer.get_vocab_size():,} tokens are in {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "quickstart")
