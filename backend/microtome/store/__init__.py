"""Rows and blobs. The store never knows what a number means: it keeps kinds, columns and arrays by name."""

from microtome.store.database import Store, open_store

__all__ = ["Store", "open_store"]
