"""Three agents in a row, and the program that sends work through them.

mesh dev examples/pipeline.py        in one terminal
python examples/pipeline.py          in another
"""

import re
from collections import Counter

import trio

import hubless
from hubless import agent

TEXTS = [
    "The gossip was good. The gossip was true. Nobody owned the gossip.",
    "A ring has no beginning. A ring has no end. Work goes round the ring.",
    "One node died. The others noticed. The work went on without the node.",
]


@agent
def split(text: str) -> list[str]:
    """Cuts a text into sentences."""
    return [sentence.strip() for sentence in text.split(".") if sentence.strip()]


@agent
def count(sentences: list[str]) -> dict[str, int]:
    """Counts the words of four letters and more."""
    return dict(Counter(word.lower() for line in sentences for word in re.findall(r"\w{4,}", line)))


@agent
def title(words: dict[str, int]) -> str:
    """The most frequent word, as a title."""
    return max(sorted(words), key=words.__getitem__).title()


async def main(*addresses: str) -> list[str]:
    """Each stage is fed by the answers of the one before, as they come; nothing waits for the whole list."""
    async with hubless.connect(*addresses) as mesh:
        sentences = mesh.map("split", TEXTS)
        words = mesh.map("count", sentences)
        return [answer async for answer in mesh.map("title", words)]


if __name__ == "__main__":
    for line in trio.run(main, "127.0.0.1:7000"):
        print(line)
