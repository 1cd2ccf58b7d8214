"""Python source as text with positions: where its nodes and its prose are, and how parts are replaced."""

import ast
import io
import tokenize
from collections.abc import Iterable, Iterator

Span = tuple[int, int]


class Source:
    """The text of a module, and its syntax tree."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tree = ast.parse(text)
        self._lines = text.splitlines(keepends=True)
        self._starts = [0]
        for line in self._lines:
            self._starts.append(self._starts[-1] + len(line))

    def span(self, node: ast.AST) -> Span:
        """Where a node begins and ends in the text."""
        line, column = getattr(node, "lineno"), getattr(node, "col_offset")  # noqa: B009 - not on every AST
        end_line, end_column = getattr(node, "end_lineno"), getattr(node, "end_col_offset")  # noqa: B009
        return self._offset(line, column), self._offset(end_line, end_column)

    def of(self, node: ast.AST) -> str:
        """The text of a node."""
        start, end = self.span(node)
        return self.text[start:end]

    def indentation(self, node: ast.AST) -> str:
        """The white space in front of the line on which a node begins."""
        line: str = self._lines[getattr(node, "lineno") - 1]  # noqa: B009 - not on every AST
        return line[: len(line) - len(line.lstrip())]

    def _offset(self, line: int, column_bytes: int) -> int:
        text = self._lines[line - 1].encode()[:column_bytes].decode()
        return self._starts[line - 1] + len(text)

    def prose(self) -> Iterator[Span]:
        """Comments, docstrings, and other strings with spaces in them; f-strings count as code."""
        inside = {
            id(part)
            for node in ast.walk(self.tree)
            if isinstance(node, ast.JoinedStr)
            for part in ast.walk(node)
        }
        for node in ast.walk(self.tree):
            is_text = isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value
            if is_text and id(node) not in inside:
                yield self.span(node)
        for token in tokenize.generate_tokens(io.StringIO(self.text).readline):
            if token.type == tokenize.COMMENT:
                start = self._starts[token.start[0] - 1] + token.start[1]
                yield start, start + len(token.string)


def edited(text: str, edits: Iterable[tuple[Span, str]]) -> str:
    """The text with each span replaced by another text. No two spans overlap."""
    for (start, end), replacement in sorted(edits, reverse=True):
        text = text[:start] + replacement + text[end:]
    return text
