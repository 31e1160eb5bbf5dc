"""The command line: ``microtome demo | serve | models | probes | methods | run | export``."""

from microtome.cli.main import main

__all__ = ["main"]
