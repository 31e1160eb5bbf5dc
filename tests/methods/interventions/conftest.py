"""Fixtures of these tests."""

from tests.methods.circuits.threads import one_thread

__all__ = ["one_thread"]
