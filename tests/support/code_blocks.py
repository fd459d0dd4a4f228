"""The code blocks of the documentation, and the commands in them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
_BLOCK: Final = re.compile(r"^( *)```([^\n]*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_INLINE: Final = re.compile(r"(?<!`)`((?:heartstream|\./run) [^`\n]+)`(?!`)")
_COMMENT: Final = re.compile(r"(?:^|(?<=\s))#.*$", re.MULTILINE)
_HEREDOC: Final = re.compile(r"<<'?(\w+)'?\n.*?^\1$", re.MULTILINE | re.DOTALL)
_PUNCTUATION: Final = "();<>|&\n"
_ASSIGNMENT: Final = re.compile(r"\w+=")


class Block(NamedTuple):
    """A fenced code block."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        """Where it is."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    """Yield the blocks of a page, without the indentation of the list that they are in."""
    content = page.read_text("utf-8")
    for found in _BLOCK.finditer(content):
        indent, language, text = found.groups()
        lines = (line.removeprefix(indent) for line in text.splitlines(keepends=True))
        yield Block(page, content.count("\n", 0, found.start()) + 1, language, "".join(lines))


def typed(block: Block) -> str:
    """Return what a reader types: all of a shell block, and what follows a prompt in others."""
    if block.language == "sh":
        return block.text
    return "\n".join(re.findall(r"^\$ (.*)", block.text, re.MULTILINE))


def commands(script: str) -> Iterator[list[str]]:
    """Yield the simple commands of a script, without assignments and redirections."""
    text = _COMMENT.sub("", _HEREDOC.sub("", script.replace("\\\n", " ")))
    lexer = shlex.shlex(text, posix=True, punctuation_chars=_PUNCTUATION)
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t\r", True, ""
    command: list[str] = []
    skip = False
    for token in (*lexer, "\n"):
        if skip:
            skip = False
        elif token[0] in "<>":
            skip = True
            if command and command[-1] in {"1", "2"}:
                command.pop()
        elif token[0] in _PUNCTUATION:
            if command:
                yield command
            command = []
        elif command or not _ASSIGNMENT.match(token):
            command.append(token)


def inline_commands(page: Path) -> Iterator[list[str]]:
    """Yield the commands of ours in the prose of a page."""
    prose = _BLOCK.sub("", page.read_text("utf-8"))
    for found in _INLINE.findall(prose):
        yield from commands(found)


def own_arguments(command: list[str]) -> list[str] | None:
    """Return the arguments of `heartstream`, however it is started, or None if a command is another one."""
    for start in (["heartstream"], ["./run"], ["python", "-m", "heartstream"]):
        for index in range(len(command) - len(start) + 1):
            if command[index : index + len(start)] == start and (index == 0 or start[0] == "python"):
                return command[index + len(start) :]
    return None
