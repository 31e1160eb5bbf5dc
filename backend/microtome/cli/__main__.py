"""``python -m microtome.cli``."""

from microtome.cli.main import main

main()
