"""tinyplaces: a deterministic generator of small labelled scenes.

Every picture is 96 x 96 RGB and is drawn, so the label maps are exact: a pixel belongs to the topmost shape that
covers its centre. ``render(split, index)`` is a pure function; nothing is stored and nothing is downloaded.
"""

from .canvas import SIZE
from .concepts import CATEGORIES, CLASSES, CONCEPTS, DEFINED_BY, Concept
from .generator import SPLITS, VERSION, Scene, render

__all__ = ["CATEGORIES", "CLASSES", "CONCEPTS", "DEFINED_BY", "SIZE", "SPLITS", "VERSION", "Concept", "Scene", "render"]
