"""Shapes of ``docs/routes.md``. What goes out names every field; what comes in refuses unknown ones."""
