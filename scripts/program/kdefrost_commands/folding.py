"""Text in lines that fit a terminal."""

import re
import textwrap
from collections.abc import Iterator

# Columns that what is printed keeps to.
WIDTH = 80
# Commands are copied line by line, with a backslash where they go on.
_COMMAND = re.compile(r" +(?:python|kdefrost)\b")
# A row of a list, whose text stands in a column of its own.
_ROW = re.compile(r" *[\w.-]+ {2,}")
# Columns of a table, or one of Markdown.
_TABLE = re.compile(r"\S {2,}\S|^\|")


def fold(text: str, width: int) -> str:
    """Lays out a text in lines that are not too long.

    Args:
        text: Paragraphs, lists of a name and a text in each row, commands with two spaces before them, and indented
            lines; lines of one paragraph are joined.
        width: Letters that a line has room for.

    Returns:
        The text; a word or an option that is longer than a line stays whole.
    """
    return "\n".join(line for block in _blocks(text) for line in _fold_block(block, width))


def fit(text: str, width: int = WIDTH) -> str:
    """Breaks each line of a text that is too long, as a command prints it.

    Args:
        text: Sentences, of which those of a list begin with a dash, and tables, whose lines stay as they are.
        width: Letters that a line has room for.
    """
    return "\n".join(part for line in text.split("\n") for part in _fit_line(line, width))


def _fit_line(line: str, width: int) -> list[str]:
    if len(line) <= width or _TABLE.search(line):
        return [line]
    return _wrapped(line, width, " " * (_indent(line) + (2 if line.lstrip().startswith("- ") else 0)))


def _blocks(text: str) -> Iterator[str]:
    """Paragraphs, rows and commands, each in one line."""
    block = ""
    for line in text.rstrip().splitlines():
        if block and line.strip() and _goes_on(block, line):
            block = f"{block} {line.strip()}"
            continue
        if block:
            yield block
        block = line
        if not line.strip():
            yield ""
            block = ""
    if block:
        yield block


def _goes_on(block: str, line: str) -> bool:
    """Whether a line belongs to the paragraph before it, which is indented alike, or to a row, which it is below."""
    if _COMMAND.match(block) or _COMMAND.match(line) or _ROW.match(line):
        return False
    return _indent(line) > _indent(block) if _ROW.match(block) else _indent(line) == _indent(block)


def _fold_block(block: str, width: int) -> list[str]:
    if _COMMAND.match(block):
        return _fold_command(block, width)
    row = _ROW.match(block)
    hanging = " " * (row.end() if row else _indent(block))
    return _wrapped(block, width, hanging) or [""]


def _wrapped(text: str, width: int, hanging: str) -> list[str]:
    # A number stays with what belongs to it.
    bound = re.sub(r" (?=[%±])|(?<=±) ", "\N{NO-BREAK SPACE}", text)
    lines = textwrap.wrap(bound, width, subsequent_indent=hanging, break_long_words=False, break_on_hyphens=False)
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in lines]


def _fold_command(command: str, width: int) -> list[str]:
    """A command, broken before options."""
    lines = [""]
    for part in re.split(r" (?=--)", command):
        if lines[-1] and len(lines[-1]) + len(part) + len("  \\") > width:
            lines[-1] += " \\"
            lines.append(" " * (_indent(command) + 6) + part)
        else:
            lines[-1] += f" {part}" if lines[-1] else part
    return lines


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
