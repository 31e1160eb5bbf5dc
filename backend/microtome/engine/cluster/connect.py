"""Joining a Ray cluster, or starting one on this machine."""

from __future__ import annotations

import importlib
import logging
import os
import secrets
import threading
from typing import Any

from microtome.core.errors import Unavailable
from microtome.core.settings import Settings
from microtome.engine.cluster.address import NOT_INSTALLED, check_address
from microtome.engine.cluster.pool import Pool
from microtome.engine.cluster.shards import ClusterShards
from microtome.engine.supervisor import environment_of
from microtome.models.model import Model
from microtome.probes import ProbeSet

#: Bytes of shared memory of a cluster that is started here; what does not fit goes to disk.
_STORE = 512 * 2**20
#: Settings that are no business of the machines that compute, a password of the database among them.
_PRIVATE = (
    "database_url", "host", "port", "allowed_hosts", "source_roots", "static_dir", "inline", "executor", "threads", "ray_address",
    "ray_actors", "ray_cpus",
)  # fmt: skip


def connect(settings: Settings) -> Any:
    """The connected ``ray`` module.

    Raises:
        InvalidInput, Unavailable: the address is wrong, nothing answers there, or Ray is not installed.
    """
    address = check_address(settings.ray_address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anybody
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if address == "local" and "RAY_AUTH_MODE" not in os.environ:
        # whoever reaches Ray's ports may run code there, so this cluster is opened by a token that nobody else knows
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    try:
        ray = importlib.import_module("ray")
    except ImportError:
        raise Unavailable(NOT_INSTALLED) from None
    if ray.is_initialized():
        return ray
    common: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "namespace": "microtome"}
    if address == "local":
        cpus = {"num_cpus": settings.threads} if settings.threads else {}
        ray.init(address="local", include_dashboard=False, object_store_memory=_STORE, **cpus, **common)
        return ray
    try:
        ray.init(address=address, **common)
    except (ConnectionError, RuntimeError, OSError, ray.exceptions.RayError) as error:
        reason = str(error).strip().split("\n")[0][:300].rstrip(".")
        raise Unavailable(
            f"No Ray cluster answers at '{address}': {reason}. Start one with `ray start --head` (and `ray start --address=HOST:6379` "
            "on the other machines), correct MICROTOME_RAY_ADDRESS, give this server the RAY_AUTH_TOKEN of that cluster, or use local."
        ) from None
    return ray


class Cluster:
    """Connects when it is first needed, so that a cluster that is away fails the run that needs it and nothing else."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pool: Pool | None = None
        self._lock = threading.Lock()

    def shards(self, model: Model, probe: ProbeSet, examples: int, width: int | None) -> ClusterShards:
        """The examples of a question, to be spread over the cluster; ``width`` of the longest text, None for images."""
        return ClusterShards(self.pool(), model, probe, examples, width)

    def pool(self) -> Pool:
        """The stations; connects, and starts them."""
        with self._lock:
            if self._pool is None:
                ray = connect(self._settings)
                prefix = "MICROTOME_"
                private = {prefix + name.upper() for name in _PRIVATE}
                environment = {k: v for k, v in environment_of(self._settings).items() if k not in private}
                self._pool = Pool(ray, self._settings, environment)
            self._pool.fill()
            return self._pool

    @property
    def device(self) -> str | None:
        """What recorded it, for provenance; None before anything was."""
        return self._pool.device if self._pool is not None else None
