"""One file per resource of ``docs/routes.md``."""
