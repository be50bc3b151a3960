"""What the README and the pages in `docs/` show: commands, files, changes."""

import pathlib
import re
import shlex
from typing import NamedTuple

REPOSITORY = pathlib.Path(__file__).parents[1]
DOCUMENTS = ["README.md", *sorted(f"docs/{path.name}" for path in (REPOSITORY / "docs").glob("*.md"))]

_BLOCK = re.compile(r"^```(\S+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A fenced block: its language, the file that it is where the fence names one, its text."""

    language: str
    file: str | None
    text: str


def blocks(document: str) -> list[Block]:
    """All of a document's, in order."""
    return [Block(*found.groups()) for found in _BLOCK.finditer((REPOSITORY / document).read_text())]


def commands(block: Block) -> list[list[str]]:
    """The words of each command of a block of a shell's, without what is said behind `#`; none of another block."""
    if block.language not in ("bash", "sh"):
        return []
    lines = block.text.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def settings(words: list[str]) -> tuple[list[str], list[str]]:
    """A command's environment variables, `NAME=value`, and its words after them."""
    first = next((index for index, word in enumerate(words) if not re.match(r"[A-Z_]+=", word)), len(words))
    return words[:first], words[first:]


def value_of(words: list[str], flag: str) -> str | None:
    """What a flag says, given as `--flag=value`."""
    return next((word.partition("=")[2] for word in words if word.startswith(f"{flag}=")), None)
