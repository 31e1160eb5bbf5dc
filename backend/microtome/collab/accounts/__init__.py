"""Accounts of team mode: passwords, sessions, API tokens, invitations, members, and the lock-out of guessers."""

from microtome.collab.accounts.accounts import Accounts
from microtome.collab.accounts.signed import Membership, Scope, Signed

__all__ = ["Accounts", "Membership", "Scope", "Signed"]
