"""All settings in one place. Each is read from the environment as ``MICROTOME_`` and its name in capitals."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Settings of one installation. ``docs/settings.md`` describes each; a test holds the two together."""

    model_config = SettingsConfigDict(env_prefix="MICROTOME_", extra="ignore")

    data_dir: Path = Field(Path("microtome-data"), description="Folder for the database, blobs, uploads and logs.")
    database_url: str | None = Field(
        None,
        description="SQLAlchemy URL; PostgreSQL as postgresql+psycopg://... SQLite in the data folder if left out.",
    )
    host: str = Field("127.0.0.1", description="Address to listen on. Any other than loopback needs the printed token.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; PORT without prefix is read too.")
    allowed_hosts: list[str] = Field(default_factory=list, description="More host names under which a browser may reach this server.")
    source_roots: list[Path] = Field(
        default_factory=list,
        description="Folders from which models and probe sets may be added through the web; the data folder's "
        "'import' folder, the home folder and the folder the server was started in if left out.",
    )
    mode: Literal["single-user", "team"] = Field(
        "single-user", description="single-user: this machine only, no sign-in. team: everybody signs in (docs/team.md)."
    )
    public_url: str | None = Field(
        None,
        max_length=300,
        description="Address at which people reach this server, as https://lab.example.org: in links; https makes cookies Secure.",
    )
    behind_proxy: bool = Field(False, description="A proxy of ours is in front: the last address of X-Forwarded-For is the client's.")
    session_hours: int = Field(336, ge=1, le=8760, description="Longest time that somebody stays signed in; three days unused end it too.")
    reads_per_minute: int = Field(3000, ge=0, description="Reads of one person in a minute in team mode, for each server process; 0: any.")
    writes_per_minute: int = Field(600, ge=0, description="The same of writes.")
    runs_per_minute: int = Field(120, ge=0, description="The same of runs, uploads and added sources.")
    runs_per_day: int = Field(0, ge=0, description="Runs that one person may start in 24 hours in team mode; 0: any number.")
    upload_bytes_per_person: int = Field(0, ge=0, description="Bytes of uploads that one person may keep in team mode; 0: any number.")
    oidc_issuer: str | None = Field(
        None, max_length=300, description="OpenID provider to sign in at, as https://sso.example.org/realms/lab."
    )
    oidc_client_id: str | None = Field(None, max_length=200, description="Name of this server at the provider.")
    oidc_client_secret: SecretStr | None = Field(None, description="Secret of this server at the provider; none for a public client.")
    oidc_name: str = Field("Single sign-on", max_length=40, description="What the button to sign in there says.")
    oidc_domains: list[str] = Field(
        default_factory=list, description="Domains of verified e-mail addresses that may join without an invitation."
    )
    oidc_role: Literal["viewer", "annotator", "editor"] = Field(
        "annotator", description="Role in the workspace main of people who join by their domain."
    )
    device: str = Field("auto", description="Torch device of the worker: auto, cpu, cuda, cuda:0, mps.")
    threads: int = Field(0, ge=0, le=512, description="Threads of the worker; 0 takes OMP_NUM_THREADS, or all cores.")
    inline: bool = Field(False, description="Run methods in the calling process (tests).")
    executor: Literal["local", "ray"] = Field(
        "local", description="Where passes over probe sets run: one worker process per device of this machine, or a Ray cluster."
    )
    ray_address: str = Field(
        "local",
        max_length=300,
        description="Ray cluster: local starts one on this machine, auto finds the one running here, or host:6379, or ray://host:10001.",
    )
    ray_actors: int = Field(0, ge=0, le=10_000, description="Workers in the Ray cluster; 0 takes as many as there is room for.")
    ray_cpus: int = Field(0, ge=0, le=512, description="Cores of each worker in the Ray cluster; 0 takes 1 beside a GPU, else up to 4.")
    cache_bytes: int = Field(20 * 2**30, ge=2**20, description="Size at which the result cache starts to evict.")
    scratch_bytes: int = Field(
        0,
        ge=0,
        description="Activations kept in files of the data folder, for the question at hand and for the next one; what needs more is "
        "computed in several passes. 0 takes a quarter of the free disk, at most 32 GiB.",
    )
    model_bytes: int = Field(
        0,
        ge=0,
        description="Models kept loaded by a worker; the least recently used give way. 0 takes a quarter of memory, half of a GPU's.",
    )
    upload_bytes: int = Field(20 * 2**20, ge=1024, description="Largest upload.")
    image_pixels: int = Field(40_000_000, ge=1024, description="Largest image, in pixels, that is decoded.")
    max_examples: int = Field(200_000, ge=1, description="Largest probe set.")
    max_units: int = Field(1_000_000, ge=1, description="Most units of one model.")
    run_seconds: int = Field(24 * 3600, ge=1, description="Longest run.")
    static_dir: Path | None = Field(None, description="Folder of the built frontend; the packaged one if left out.")

    @field_validator("public_url", "oidc_issuer")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query or parts.fragment:
            raise ValueError(f"'{value[:100]}' is not an address as https://lab.example.org")
        return value.rstrip("/")

    @property
    def cores(self) -> int:
        """Threads to compute with: those asked for, those of OMP_NUM_THREADS, or all cores."""
        given = os.environ.get("OMP_NUM_THREADS", "")
        return self.threads or (int(given) if given.isdecimal() else 0) or os.cpu_count() or 1

    @property
    def team(self) -> bool:
        return self.mode == "team"

    @property
    def secure(self) -> bool:
        """True if browsers reach this server by https."""
        return (self.public_url or "").startswith("https://")

    @property
    def database(self) -> str:
        return self.database_url or f"sqlite:///{(self.data_dir / 'microtome.db').absolute()}"


@lru_cache
def settings() -> Settings:
    """The settings of this process, read once."""
    return Settings()
