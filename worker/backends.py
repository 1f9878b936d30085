"""Which AI backends there are, what each can do, and which one does what here: data, free of any AI library.

The front door reads this too, to offer nothing that nobody would make. To add a backend, write its module (a class that
is a `Provider`) and give it one line in `BACKENDS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

from config import BadSettings, Settings, settings
from models.kinds import Kind

NOBODY = "none"
"""In `AI_PROVIDERS`, the provider of a kind that is not offered."""


@dataclass(frozen=True, slots=True)
class Backend:
    """One AI backend: where its class is, and the model of each kind that it can do.

    A model that is None has no sensible default: whoever wants the kind names one in `AI_PROVIDERS`. One that is not
    `remote` is part of this house: it cannot be down, whatever it is told to answer.
    """

    where: str
    models: Mapping[Kind, str | None]
    remote: bool = True


@dataclass(frozen=True, slots=True)
class Offer:
    """Who does a kind here, with which model."""

    provider: str
    model: str

    def model_for(self, values: Mapping[str, Any]) -> str:
        """The model for a job with this input: the one that its action fixes (`options.model`), or the usual one."""
        return values.get("options", {}).get("model") or self.model


BACKENDS: dict[str, Backend] = {
    "mock": Backend("worker.ai.mock:MockProvider", dict.fromkeys(Kind, "mock"), remote=False),
    "openai": Backend(
        "worker.ai.openai.provider:OpenAIProvider",
        {
            Kind.chat: "gpt-5.4-mini",
            Kind.vision: "gpt-5.4-mini",
            Kind.image: "gpt-image-2.5-flare",
            Kind.image_edit: "gpt-image-2.5-flare",
            Kind.speech: "gpt-4o-mini-tts",
        },
    ),
    "predictions": Backend(
        "worker.ai.predictions:PredictionsProvider",
        dict.fromkeys((Kind.video, Kind.lipsync, Kind.upscale, Kind.image, Kind.image_edit)),
    ),
}


def offers(chosen: Settings | None = None) -> Mapping[Kind, Offer]:
    """Who does which kind under these settings, or the process's own. A kind that is missing is not offered.

    Raises `BadSettings` when they name a kind or a backend that does not exist, or one that cannot do what it should.
    """
    return _offers(chosen or settings())


@cache
def _offers(chosen: Settings) -> Mapping[Kind, Offer]:
    for setting, named in (("PROVIDER_CONCURRENCY", chosen.places_at), ("PROVIDER_RATES", chosen.rates_of)):
        if unknown := set(named) - set(BACKENDS):
            known = ", ".join(BACKENDS)
            raise _bad(f"there is no provider {min(unknown)!r}; expected one of {known}", setting=setting)
    usual = {
        kind: Offer(chosen.ai_mode, model)
        for kind, model in BACKENDS[chosen.ai_mode].models.items()
        if model and kind not in chosen.wishes
    }
    wanted = {_kind(kind): wish for kind, wish in chosen.wishes.items()}
    others = {kind: _offer(kind, *wish) for kind, wish in wanted.items() if wish[0] != NOBODY}
    return MappingProxyType(usual | others)


def _kind(name: str) -> Kind:
    if name not in list(Kind):
        raise _bad(f"there is no kind {name!r}; expected one of {', '.join(Kind)}")
    return Kind(name)


def _offer(kind: Kind, provider: str, model: str) -> Offer:
    if provider not in BACKENDS:
        raise _bad(f"there is no provider {provider!r} for {kind}; expected one of {', '.join((*BACKENDS, NOBODY))}")
    can = BACKENDS[provider].models
    if kind not in can:
        raise _bad(f"{provider} does not do {kind}; it does {', '.join(can)}")
    if not (model := model or can[kind] or ""):
        raise _bad(f"{provider} has many models for {kind}; expected {kind}={provider}:model")
    return Offer(provider, model)


def _bad(why: str, *, setting: str = "AI_PROVIDERS") -> BadSettings:
    return BadSettings(f"Coinop cannot start, a setting is wrong:\n  {setting}: {why}")
