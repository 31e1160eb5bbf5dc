"""All settings in one place. Each is read from the environment as ``MICROTOME_`` and its name in capitals."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import Field
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
    device: str = Field("auto", description="Torch device of the worker: auto, cpu, cuda, cuda:0, mps.")
    threads: int = Field(0, ge=0, le=512, description="Threads of the worker; 0 takes all cores.")
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

    @property
    def database(self) -> str:
        return self.database_url or f"sqlite:///{(self.data_dir / 'microtome.db').absolute()}"


@lru_cache
def settings() -> Settings:
    """The settings of this process, read once."""
    return Settings()
