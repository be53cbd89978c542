"""Settings: `crossmusim.toml` in the workspace, overlaid by CROSSMUSIM_* variables, overlaid by flags.

Secrets (API keys) are read from the environment where they are used and never stored here.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from sourcing.errors import UsageError
from sourcing.nearest import nearest

__all__ = [
    "SETTINGS_FILE",
    "CatalogueSettings",
    "CrawlSettings",
    "GenerationSettings",
    "Settings",
    "SourceSettings",
    "load_settings",
]

SETTINGS_FILE = "crossmusim.toml"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SourceSettings(_Section):
    """`[sources.<name>]`: overrides of a source's declaration; a field left out keeps the declared value."""

    enabled: bool | None = Field(None, description="false switches it off; true is what class C needs, too")
    base_url: str | None = Field(
        None, pattern=r"^[^@?#]*$", description="scheme and host to ask instead of the real ones, and no user or query"
    )
    rate_per_s: float | None = Field(None, gt=0, description="requests per second, at most")
    concurrency: int | None = Field(None, ge=1, description="requests in flight, at most")
    burst: int | None = Field(None, ge=1, description="requests that may go out at once after a rest")
    daily_cap: int | None = Field(None, ge=0, description="requests per UTC day, at most")
    storage_cap_mb: float | None = Field(None, ge=0, description="response bodies kept, at most")
    languages: list[str] | None = Field(None, description="language editions to ask, e.g. en, zh, de")
    acknowledged: str | None = Field(
        None, min_length=3, description="class C: who takes the source's terms upon themselves, and when"
    )


class CatalogueSettings(_Section):
    """`[catalogue]`: how the owner's file is read; `catalogue import` writes it once the columns are agreed upon."""

    columns: dict[str, str] = Field(default_factory=dict, description="our column names → those of the file")
    make_ids: bool = Field(
        False, description="the file has no ids: make them from ISRC or artist, title, album, length"
    )
    separator: str | None = Field(None, min_length=1, description="what parts the words of tags; told by the file")
    sheet: str | None = Field(None, description="which sheet of a workbook; the first when unset")
    encoding: str | None = Field(None, description="of a text file, e.g. cp1252; told by its bytes when unset")


class CrawlSettings(_Section):
    """`[crawl]`: limits that hold for every source."""

    contact: str | None = Field(
        None, description="mail address or URL put into the User-Agent; crawls refuse to start without"
    )
    allow_private_hosts: bool = Field(False, description="let requests reach loopback and private networks")
    max_body_mb: float = Field(10.0, gt=0, description="larger bodies are refused, unread")
    timeout_s: float = Field(30.0, gt=0, description="how long one request may take")
    max_attempts: int = Field(3, ge=1, description="tries of one task before it is failed for good")
    lease_s: float = Field(
        300.0, gt=0, description="how long a task stays out once its process is gone without a trace"
    )
    patience_s: float = Field(
        120.0, gt=0, description="a host's turn, pause or next try further off than this is left to the next run"
    )
    page_urls: list[str] = Field(
        default_factory=list, description="schema.org pages to fetch, beside `crawl run --urls`"
    )


class GenerationSettings(_Section):
    """`[generation]`: which model server answers, how hard it may be asked, what it costs, what is kept."""

    base_url: str | None = Field(
        None, description="OpenAI-compatible endpoint, e.g. https://host/v1; OPENAI_BASE_URL when unset"
    )
    model: str | None = Field(None, description="model name as the endpoint knows it")
    dialect: str | None = Field(None, description="openai, azure, azure-v1, vllm, llama.cpp, ollama or compatible")
    api_version: str | None = Field(None, description="Azure's dated version; OPENAI_API_VERSION when unset")
    reasoning: bool | None = Field(None, description="whether the model thinks in billed tokens; told by its name")
    languages: list[str] = Field(default_factory=lambda: ["en"], description="languages of aspects and captions")
    concurrency: int = Field(8, ge=1, description="calls in flight, at most")
    workers: int = Field(1, ge=1, description="processes that make them")
    timeout_s: float = Field(120.0, gt=0, description="how long one call may take")
    max_attempts: int = Field(4, ge=1, description="tries of one call before it is failed")
    give_up_after_s: float = Field(120.0, gt=0, description="of refusals without one answer, before a run ends")
    requests_per_minute: float | None = Field(None, gt=0, description="learnt from replies when unset")
    tokens_per_minute: float | None = Field(None, gt=0, description="learnt from replies when unset")
    price_input_usd_per_mtok: Decimal | None = Field(
        None, ge=0, description="price of a million tokens in, in USD, e.g. 0.15"
    )
    price_output_usd_per_mtok: Decimal | None = Field(None, ge=0, description="price of a million tokens out, in USD")
    store_completions: bool = Field(False, description="let the endpoint keep completions, for --on-unknown reconcile")
    min_agreement: float = Field(0.0, ge=0, le=1, description="aspects that fewer samples or models say are left out")
    decoy_share: float = Field(
        0.02,
        ge=0,
        le=0.5,
        description="invented recordings asked about, as a share of the tracks, 20 at least; 0: none",
    )
    max_invention_rate: float = Field(
        0.1, ge=0, le=1, description="of invented recordings a model may claim to know; above, its words are held back"
    )
    batch_max_lines: int = Field(50_000, ge=1, le=50_000, description="calls in one batch, at most")
    batch_max_mb: float = Field(190.0, gt=0, le=200, description="size of one batch, at most")
    batch_poll_s: float = Field(10.0, gt=0, description="first pause between looks at a batch; grows to a minute")
    batch_enqueued_tokens: int | None = Field(None, ge=1, description="tokens an account may have in batches at once")


class MatchSettings(_Section):
    """`[match]`: where the bands of a match score lie."""

    accept_score: float = Field(0.90, ge=0, le=1, description="a pair from here on is a match")
    review_score: float = Field(0.75, ge=0, le=1, description="a pair from here on waits for a person")
    max_duration_gap_s: float = Field(3.0, ge=0, description="further apart: in doubt; twice as far: no")
    workers: int | None = Field(None, ge=1, description="processes that match; one for each core when unset")


class PublishSettings(_Section):
    """`[publish]`: how a dataset version is split, and how old the consent of its documents may be."""

    split_salt: str = Field("crossmusim", description="another salt deals the artists anew; that is a major version")
    validation_fraction: float = Field(0.1, ge=0, lt=1, description="tracks that choose between models")
    test_fraction: float = Field(0.2, ge=0, lt=1, description="tracks that no training sees")
    min_confidence: float = Field(
        0.0, ge=0, le=1, description="descriptions whose words fewer samples, models or sources share are left out"
    )
    consent_max_age_days: int = Field(30, ge=0, description="publishing warns of documents asked for longer ago")


class Settings(BaseSettings):
    """All settings of one workspace; unknown keys are refused."""

    model_config = SettingsConfigDict(env_prefix="CROSSMUSIM_", env_nested_delimiter="__", extra="forbid", frozen=True)

    catalogue: CatalogueSettings = Field(default_factory=CatalogueSettings)
    sources: dict[str, SourceSettings] = Field(default_factory=dict)
    crawl: CrawlSettings = Field(default_factory=CrawlSettings)
    generation: GenerationSettings = Field(default_factory=GenerationSettings)
    match: MatchSettings = Field(default_factory=MatchSettings)
    publish: PublishSettings = Field(default_factory=PublishSettings)
    prompts_dir: Path | None = Field(None, description="folder of prompt packs looked into before the built-in ones")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        toml_file = cls.model_config.get("toml_file")
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file)


def load_settings(workspace: Path, **flags: Any) -> Settings:
    """Settings of the workspace folder; `flags` are nested dicts and win over file and environment."""
    path = workspace / SETTINGS_FILE
    bound = type("_WorkspaceSettings", (Settings,), {"model_config": {**Settings.model_config, "toml_file": path}})
    try:
        settings = bound(**flags)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(str(path), f"not TOML ({error})", "mend that line") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(
            f"{SETTINGS_FILE} or CROSSMUSIM_* setting {where!r}",
            f"{first['msg'].lower()}{_shown(first)}",
            _cure(first),
        ) from None
    assert isinstance(settings, Settings)
    return settings


def _cure(error: Mapping[str, Any]) -> str:
    """The setting that an unknown one may stand for, where there is one."""
    cure = "correct or remove it; docs/settings.md lists the settings"
    *sections, name = error["loc"]
    if error["type"] != "extra_forbidden":
        return cure
    if not sections:
        return nearest(str(name), Settings.model_fields, cure)
    kind = SourceSettings if sections[0] == "sources" else Settings.model_fields[str(sections[0])].annotation
    return nearest(str(name), getattr(kind, "model_fields", ()), cure)


def _shown(error: Mapping[str, Any]) -> str:
    """The refused value, when showing it is safe: what stands under an unknown name, or in an address, may be a
    secret.
    """
    value = error["input"]
    if error["type"] == "extra_forbidden" or (isinstance(value, str) and "@" in value and "/" in value):
        return ""
    return f" (found {value!r})"
