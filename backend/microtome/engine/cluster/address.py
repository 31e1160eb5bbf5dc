"""Addresses of Ray clusters. Imports neither Ray nor torch."""

from __future__ import annotations

import re

from microtome.core.errors import InvalidInput

_ADDRESS = re.compile(r"(local|auto|(ray://)?(\[[0-9a-fA-F:]+\]|[\w.-]+):\d{1,5})")
NOT_INSTALLED = (
    "The ray executor needs Ray, which is not installed. Install it with `pip install 'microtome[ray]'`, or start with `--executor local`."
)


def check_address(address: str) -> str:
    """
    Raises:
        InvalidInput: it is none that Ray could have.
    """
    if not _ADDRESS.fullmatch(address):
        raise InvalidInput(
            f"'{address[:100]}' is no address of a Ray cluster. Give local (start one on this machine), auto (the one running on this "
            "machine), host:6379, or ray://host:10001.",
            field="ray_address",
        )
    return address
