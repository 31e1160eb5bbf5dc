"""Microtome: a web workbench for looking inside neural networks, together."""

__version__ = "0.1.0"
