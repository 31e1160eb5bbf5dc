"""Results on paper: every kind as a vector figure (SVG, PDF) or a bitmap, drawn by matplotlib, for exports and previews.

The browser draws its own views; this is what a page without a server, an article or a preview shows. Imported where it is needed,
since matplotlib is large.
"""

from microtome.results.printed.page import Panel, printed
from microtome.results.printed.texts import Context

__all__ = ["Context", "Panel", "printed"]
