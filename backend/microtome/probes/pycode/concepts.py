"""What every character of a Python source is, by ``tokenize`` and ``ast``: exact masks of concepts in five categories.

Lexical concepts come from the tokens, syntactic and scope concepts from the tree, position from brackets and indentation, content from
how names and literals are written. A character may have any number of them.
"""

from __future__ import annotations

import ast
import builtins
import io
import keyword
import re
import tokenize
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from microtome.probes.base import Concept

VERSION = "1"
_NAMES: dict[str, tuple[str, ...]] = {
    "lexical": (
        "keyword", "name", "builtin name", "number", "string", "docstring", "comment", "operator", "opening bracket", "closing bracket",
        "comma", "colon", "dot", "assignment sign", "line break", "indentation",
    ),
    "syntactic": (
        "function name", "class name", "parameter name", "parameter default", "annotation", "attribute", "called function",
        "keyword argument", "imported name", "assignment target", "returned value", "condition", "comparison", "boolean operation",
        "arithmetic", "subscript", "raised exception", "caught exception", "decorator", "base class", "self",
    ),
    "scope": (
        "module level", "class body", "function body", "nested function", "loop body", "branch body", "try body", "except body",
        "with body", "call arguments", "comprehension", "lambda", "dictionary", "list or tuple",
    ),
    "position": ("line start", "line end", "bracket depth 1", "bracket depth 2 or more", "indent 1", "indent 2", "indent 3 or more"),
    "content": (
        "constant name", "camel case name", "private name", "dunder name", "single letter name", "error word", "zero or one",
        "True, False or None", "format placeholder", "escape sequence", "address or link", "English prose",
    ),
}  # fmt: skip
CONCEPTS = tuple(Concept(name, category, i) for i, (category, name) in enumerate((c, n) for c, names in _NAMES.items() for n in names))
_PLACE = {c.name: c.index for c in CONCEPTS}
_BUILTINS = frozenset(n for n in dir(builtins) if not n.startswith("_")) - {"True", "False", "None"}
_OPEN, _CLOSE = frozenset("([{"), frozenset(")]}")
_ASSIGN = frozenset(("=", "+=", "-=", "*=", "/=", "//=", "%=", "@=", "&=", "|=", "^=", ">>=", "<<=", "**=", ":="))
Masks = npt.NDArray[np.bool_]


def masks(source: str) -> Masks:
    """bool [concepts, characters] of a source.

    Raises:
        SyntaxError: a source that this Python cannot parse.
    """
    return _Painter(source).paint()


class _Painter:
    def __init__(self, source: str) -> None:
        self.source = source
        self.lines = source.splitlines(keepends=True)
        # splitlines also ends lines at form feeds and the like, which Python does not
        self.lines = io.StringIO(source).readlines()
        self.starts = np.concatenate([[0], np.cumsum([len(line) for line in self.lines])]).astype(int)
        self.out = np.zeros((len(CONCEPTS), len(source)), bool)

    def paint(self) -> Masks:
        tree = ast.parse(self.source)
        self._tokens()
        self._content_of_strings(tree)
        for node in ast.walk(tree):
            self._node(node)
        self._scopes(tree, inside=None)
        self._lines()
        return self.out

    def _mark(self, concept: str, start: int, stop: int) -> None:
        self.out[_PLACE[concept], start:stop] = True

    def _at(self, line: int, column: int) -> int:
        """Character of a line (from 1) and column in characters."""
        return int(self.starts[line - 1]) + column

    def _byte_at(self, line: int, column: int) -> int:
        """The same for a column in bytes of UTF-8, as the tree has it."""
        text = self.lines[line - 1] if line <= len(self.lines) else ""
        return self._at(line, column if text.isascii() else len(text.encode()[:column].decode(errors="ignore")))

    def _span(self, node: ast.AST) -> tuple[int, int]:
        return (
            self._byte_at(node.lineno, node.col_offset),  # type: ignore[attr-defined]
            self._byte_at(node.end_lineno, node.end_col_offset),  # type: ignore[attr-defined]
        )

    def _mark_node(self, concept: str, node: ast.AST | None) -> None:
        if node is not None:
            self._mark(concept, *self._span(node))

    # tokens

    def _tokens(self) -> None:
        depth = 0
        previous = 0
        for token in tokenize.generate_tokens(io.StringIO(self.source).readline):
            if token.type in (tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER):
                continue
            start, stop = self._at(*token.start), min(self._at(*token.end), len(self.source))
            if depth:
                self._mark("bracket depth 1" if depth == 1 else "bracket depth 2 or more", previous, start)
            text, kind = token.string, tokenize.tok_name[token.type]
            if kind in ("NEWLINE", "NL"):
                self._mark("line break", start, stop)
            elif kind == "COMMENT":
                self._mark("comment", start, stop)
                self._words(start, text)
            elif kind == "NUMBER":
                self._mark("number", start, stop)
                if text in ("0", "1"):
                    self._mark("zero or one", start, stop)
            elif kind == "STRING" or kind.startswith("FSTRING"):
                self._mark("string", start, stop)
            elif kind == "NAME":
                self._name(text, start, stop)
            elif kind == "OP":
                self._operator(text, start, stop)
                depth += text in _OPEN
                depth -= text in _CLOSE
            if depth and text not in _OPEN:
                self._mark("bracket depth 1" if depth == 1 else "bracket depth 2 or more", start, stop)
            previous = stop

    def _operator(self, text: str, start: int, stop: int) -> None:
        if text in _OPEN:
            self._mark("opening bracket", start, stop)
        elif text in _CLOSE:
            self._mark("closing bracket", start, stop)
        elif text == ",":
            self._mark("comma", start, stop)
        elif text == ":":
            self._mark("colon", start, stop)
        elif text == ".":
            self._mark("dot", start, stop)
        elif text in _ASSIGN:
            self._mark("assignment sign", start, stop)
        else:
            self._mark("operator", start, stop)

    def _name(self, text: str, start: int, stop: int) -> None:
        if keyword.iskeyword(text):
            self._mark("keyword", start, stop)
            if text in ("True", "False", "None"):
                self._mark("True, False or None", start, stop)
            return
        self._mark("name", start, stop)
        if text in _BUILTINS:
            self._mark("builtin name", start, stop)
        if text in ("self", "cls"):
            self._mark("self", start, stop)
        if re.fullmatch(r"_*[A-Z][A-Z0-9_]+", text):
            self._mark("constant name", start, stop)
        elif re.fullmatch(r"_*[A-Z][a-z0-9]+\w*", text):
            self._mark("camel case name", start, stop)
        if re.fullmatch(r"__\w+__", text):
            self._mark("dunder name", start, stop)
        elif text.startswith("_") and text != "_":
            self._mark("private name", start, stop)
        if len(text) == 1:
            self._mark("single letter name", start, stop)
        if re.search(r"(?i)error|exception|warning", text):
            self._mark("error word", start, stop)

    def _words(self, start: int, text: str) -> None:
        """What is written for people, in a comment or a docstring."""
        for found in re.finditer(r"[a-z]+://\S+|\b(?:www\.|[\w.+-]+@[\w-]+\.)\S+", text):
            self._mark("address or link", start + found.start(), start + found.end())
        for found in re.finditer(r"\b[A-Za-z][a-z']*(?:,? [A-Za-z]?[a-z']+){3,}", text):
            self._mark("English prose", start + found.start(), start + found.end())

    def _content_of_strings(self, tree: ast.AST) -> None:
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                first = node.body[0] if node.body else None
                if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
                    start, stop = self._span(first.value)
                    self._mark("docstring", start, stop)
                    self._words(start, self.source[start:stop])
            if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
                start, stop = self._span(node)
                text = self.source[start:stop]
                for found in re.finditer(r"%(?:\(\w+\))?[-+ #0]*\d*(?:\.\d+)?[sdrifxoegc]|\{[\w.!:,]*\}", text):
                    self._mark("format placeholder", start + found.start(), start + found.end())
                for found in re.finditer(r"\\(?:[nrtbfav\\'\"0]|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4})", text):
                    self._mark("escape sequence", start + found.start(), start + found.end())

    # tree

    def _word_after(self, position: int, word: str) -> tuple[int, int]:
        """The next occurrence of a name, as a whole word."""
        found = re.compile(rf"\b{re.escape(word)}\b").search(self.source, position)
        return found.span() if found else (position, position)

    def _node(self, node: ast.AST) -> None:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                start, _ = self._span(node)
                is_class = isinstance(node, ast.ClassDef)
                self._mark("class name" if is_class else "function name", *self._word_after(start, node.name))
                for decorator in node.decorator_list:
                    at, stop = self._span(decorator)
                    self._mark("decorator", self.source.rfind("@", 0, at), stop)
                if isinstance(node, ast.ClassDef):
                    for base in node.bases:
                        self._mark_node("base class", base)
                else:
                    self._mark_node("annotation", node.returns)
            case ast.arguments():
                for argument in [*node.posonlyargs, *node.args, *node.kwonlyargs, *filter(None, (node.vararg, node.kwarg))]:
                    start, _ = self._span(argument)
                    self._mark("parameter name", start, start + len(argument.arg))
                    self._mark_node("annotation", argument.annotation)
                for default in [*node.defaults, *node.kw_defaults]:
                    self._mark_node("parameter default", default)
            case ast.AnnAssign():
                self._mark_node("annotation", node.annotation)
                self._mark_node("assignment target", node.target)
            case ast.Attribute():
                _, stop = self._span(node)
                self._mark("attribute", stop - len(node.attr), stop)
            case ast.Call():
                self._call(node)
            case ast.Import() | ast.ImportFrom():
                for name in node.names:
                    self._mark_node("imported name", name)
            case ast.Assign():
                for target in node.targets:
                    self._mark_node("assignment target", target)
            case ast.AugAssign():
                self._mark_node("assignment target", node.target)
            case ast.Return():
                self._mark_node("returned value", node.value)
            case ast.If() | ast.While() | ast.IfExp() | ast.Assert():
                self._mark_node("condition", node.test)
            case ast.Compare():
                self._mark_node("comparison", node)
            case ast.BoolOp():
                self._mark_node("boolean operation", node)
            case ast.BinOp():
                self._mark_node("arithmetic", node)
            case ast.Subscript():
                self._mark_node("subscript", node.slice)
            case ast.Raise():
                self._mark_node("raised exception", node.exc)
            case ast.ExceptHandler():
                self._mark_node("caught exception", node.type)

    def _call(self, node: ast.Call) -> None:
        function = node.func
        start, stop = self._span(function)
        if isinstance(function, ast.Attribute):
            self._mark("called function", stop - len(function.attr), stop)
        elif isinstance(function, ast.Name):
            self._mark("called function", start, stop)
        _, end = self._span(node)
        inner = self.source.find("(", stop) + 1
        self._mark("call arguments", inner, end - 1)
        for argument in node.keywords:
            if argument.arg is not None:
                at, _ = self._span(argument)
                self._mark("keyword argument", at, at + len(argument.arg))

    def _body(self, concept: str, body: list[ast.stmt]) -> None:
        """From the beginning of the first statement's line to the end of the last statement."""
        if body:
            first = min([body[0].lineno, *(d.lineno for d in getattr(body[0], "decorator_list", []))])
            self._mark(concept, self._at(first, 0), self._span(body[-1])[1])

    def _scopes(self, node: ast.AST, inside: str | None) -> None:
        """Bodies, from the outside in; ``inside`` is the nearest function or class around."""
        for child in ast.iter_child_nodes(node):
            around = inside
            match child:
                case ast.FunctionDef() | ast.AsyncFunctionDef():
                    self._body("nested function" if inside == "function" else "function body", child.body)
                    around = "function"
                case ast.ClassDef():
                    self._body("class body", child.body)
                    around = "class"
                case ast.For() | ast.AsyncFor() | ast.While():
                    self._body("loop body", child.body)
                case ast.If():
                    self._body("branch body", child.body)
                    if not (len(child.orelse) == 1 and isinstance(child.orelse[0], ast.If)):
                        self._body("branch body", child.orelse)
                case ast.Try():
                    self._body("try body", child.body)
                    for handler in child.handlers:
                        self._body("except body", handler.body)
                case ast.With() | ast.AsyncWith():
                    self._body("with body", child.body)
                case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                    self._mark_node("comprehension", child)
                case ast.Lambda():
                    self._mark_node("lambda", child)
                case ast.Dict():
                    self._mark_node("dictionary", child)
                case ast.List() | ast.Tuple():
                    self._mark_node("list or tuple", child)
            if inside is None and around is None and isinstance(child, ast.stmt):
                self._mark_node("module level", child)
            self._scopes(child, around)

    # lines

    def _lines(self) -> None:
        string = self.out[_PLACE["string"]]
        bracket = self.out[_PLACE["bracket depth 1"]] | self.out[_PLACE["bracket depth 2 or more"]]
        for number, line in enumerate(self.lines):
            start = int(self.starts[number])
            body = line.rstrip("\r\n")
            if not body.strip():
                continue
            indent = len(body) - len(body.lstrip())
            continued = start > 0 and (string[start - 1] and string[start] if start < len(string) else False)
            if indent and not continued:
                self._mark("indentation", start, start + indent)
            first = re.match(r"\w+|\S", body[indent:])
            assert first is not None
            self._mark("line start", start + indent, start + indent + first.end())
            last = re.search(r"(\w+|\S)\s*$", body)
            assert last is not None
            self._mark("line end", start + last.start(1), start + last.end(1))
            if not continued and not (start < len(bracket) and bracket[start]):
                depth = indent // 4
                if depth:
                    self._mark("indent 1" if depth == 1 else "indent 2" if depth == 2 else "indent 3 or more", start, start + len(body))


def counted(found: Masks) -> Iterator[tuple[Concept, int]]:
    """Concepts with the characters that have them."""
    for concept in CONCEPTS:
        yield concept, int(found[concept.index].sum())
