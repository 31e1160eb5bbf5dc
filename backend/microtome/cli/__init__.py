"""The command line: ``microtome demo | serve | models | probes | methods | run | export | import``."""

from microtome.cli.main import main

__all__ = ["main"]
