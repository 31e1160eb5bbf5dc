"""Accounts from the command line."""

from __future__ import annotations

from microtome.collab.accounts import Accounts
from microtome.collab.people import secret
from microtome.core.settings import Settings
from microtome.store import open_store


def open_accounts(values: Settings) -> Accounts:
    """The accounts of an installation, whose database is made or migrated if need be."""
    store = open_store(values)
    return Accounts(store, secret(store.data_dir), values.session_hours)
