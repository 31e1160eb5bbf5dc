"""Markdown and maths as HTML and MathML that need no script; what people write as HTML is shown as text."""

from __future__ import annotations

import html
from functools import lru_cache
from typing import Any
from xml.etree import ElementTree

from latex2mathml.converter import convert
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin

MATHML = "http://www.w3.org/1998/Math/MathML"
LONGEST = 4000  # characters of a formula: the converter takes ever longer; as in the browser
#: Attributes and elements of MathML that a formula may have.
SHAPES = frozenset({
    "display", "mathvariant", "stretchy", "fence", "form", "separator", "accent", "accentunder", "columnalign", "rowspacing",
    "columnspacing", "columnlines", "rowlines", "linethickness", "displaystyle", "scriptlevel", "largeop", "movablelimits", "minsize",
    "maxsize", "width", "lspace", "rspace", "notation",
})  # fmt: skip
ELEMENTS = frozenset({
    "math", "mrow", "mi", "mn", "mo", "mtext", "mspace", "mfrac", "msqrt", "mroot", "msub", "msup", "msubsup", "munder", "mover",
    "munderover", "mtable", "mtr", "mtd", "mstyle", "mpadded", "mphantom", "menclose", "mmultiscripts", "mprescripts", "none", "ms",
})  # fmt: skip


def to_html(text: str) -> str:
    return str(_reader().render(text))


def inline(text: str) -> str:
    """A line: no paragraphs, no headings."""
    return str(_reader().renderInline(text))


@lru_cache
def _reader() -> MarkdownIt:
    reader = MarkdownIt("commonmark", {"html": False, "linkify": False}).enable(["table", "strikethrough"]).disable("image")
    reader.use(dollarmath_plugin, allow_space=False, allow_digits=False, renderer=_maths)
    # the title of the finding is the first heading of the page
    reader.add_render_rule("heading_open", lambda self, tokens, place, options, env: f"<h{_level(tokens[place])}>")
    reader.add_render_rule("heading_close", lambda self, tokens, place, options, env: f"</h{_level(tokens[place])}>\n")
    return reader


def _level(token: Any) -> int:
    return min(6, int(token.tag[1:]) + 1)


def _maths(tex: str, options: dict[str, Any]) -> str:
    """MathML, which browsers draw themselves; what cannot be read stays as it was written."""
    written = f"<code>{html.escape(tex)}</code>"
    if len(tex) > LONGEST:
        return written
    try:
        # the converter leaves what stands in \\text as it is: read again as XML, comments are gone and what is no XML is refused
        made = ElementTree.fromstring(convert(tex, display="block" if options.get("display_mode") else "inline"))  # noqa: S314
    except Exception:  # the converter raises what it likes on input it does not know
        return written
    for element in made.iter():
        element.tag = element.tag.removeprefix(f"{{{MATHML}}}")
        if element.tag not in ELEMENTS:
            return written
        # \\href makes links to anywhere and \\class or \\style reach into the page: only what shapes a formula stays
        for name in set(element.keys()) - SHAPES:
            del element.attrib[name]
    made.set("xmlns", MATHML)
    return ElementTree.tostring(made, encoding="unicode")
