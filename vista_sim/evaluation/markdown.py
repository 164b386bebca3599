"""GitHub-style Markdown."""

from __future__ import annotations

from collections.abc import Collection, Sequence


def plain(text: str) -> str:
    """Text in one line, without what would be taken for a cell's end, a tag or emphasis."""
    for sign in ("\\", "|", "*", "_", "`", "<", ">", "[", "]", "#"):
        text = text.replace(sign, "\\" + sign)
    return " ".join(text.split())


def table(
    heads: Sequence[str], rows: Sequence[Sequence[str]], numbers: Collection[str]
) -> list[str]:
    """Lines of a table; columns whose head is one of `numbers` are set to the right."""
    rule = ["---:" if head in numbers else "---" for head in heads]
    lines = [heads, rule, *([plain(cell) for cell in row] for row in rows)]
    return ["| " + " | ".join(line) + " |" for line in lines]
