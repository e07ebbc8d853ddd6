"""Everything that defines the training of a restoration network."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, TypeVar

from biofacenet.restoration.losses import checked_factors
from biofacenet.restoration.network import RestorerConfig
from msfit.errors import InputError

_T = TypeVar("_T")
#: What the key `task` of a TOML file says of configurations of this kind.
TASK = "restoration"


@dataclass(frozen=True)
class DataConfig:
    """Samples: see `biofacenet.restoration.faces`."""

    faces: int = 400
    """How many are kept on disk."""
    heads: int = 96
    """Heads that they are drawn on."""
    size: int = 256
    """Of the kept faces [pixels]."""
    crop: int = 128
    """Of the cut-outs that are trained on [pixels]."""
    seed: int = 0
    workers: int = 0
    """Processes that draw faces; 0: the one that trains."""
    validation: int = 64
    """Cut-outs of other persons on other heads, on which the figures of each epoch are measured."""
    textures: float = 0.0
    """Share of cut-outs that are of real photographs (`biofacenet.restoration.textures`); above 0, rendered faces get
    texture of them, too."""
    photos: str = ""
    """Folder of clean photographs of faces, such as FFHQ's, which half of the batches then come from; none if empty."""


@dataclass(frozen=True)
class DescentConfig:
    """The descent, by AdamW."""

    batch: int = 8
    steps: int = 3000
    epoch: int = 200
    """Steps after which figures are measured."""
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    warmup: int = 100
    decay: float = 0.6
    """Share of all steps, the last, in which the learning rate falls to zero."""
    clip: float = 1.0
    """Largest norm of the gradient; 0: any."""
    averaged: float = 0.99
    """Of the running mean of the weights that is kept; 0: the weights themselves."""
    adversary_rate: float = 2e-4
    """Learning rate of the adversary, where the loss has one."""
    device: str = "auto"
    threads: int = 0
    seed: int = 0
    start: str = ""
    """Weights to begin from: a restoration network's .safetensors file, or the name of shipped ones that take faces
    apart, whose features are taken; empty: random ones."""
    checkpoint_minutes: float = 3.0


@dataclass(frozen=True)
class LossConfig:
    """What is minimised: see `biofacenet.restoration.losses.terms`."""

    weights: Mapping[str, float] = field(default_factory=dict)
    """Factors of its terms, in place of those of `biofacenet.restoration.losses.FACTORS`."""
    late: int = 0
    """Step from which pigments count: before, the network learns to restore at all."""


@dataclass(frozen=True)
class RestorationConfig:
    """A training run.

    Raises
    ------
    InputError
        Values out of range.
    """

    name: str = "unnamed"
    network: RestorerConfig = field(default_factory=RestorerConfig)
    data: DataConfig = field(default_factory=DataConfig)
    training: DescentConfig = field(default_factory=DescentConfig)
    loss: LossConfig = field(default_factory=LossConfig)

    def __post_init__(self) -> None:
        data, training = self.data, self.training
        checked_factors(self.loss.weights)
        step = 2 ** len(self.network.widths)
        for name, value, least, most in (
            ("data.faces", data.faces, 1, 1_000_000),
            ("data.heads", data.heads, 1, 1_000_000),
            ("data.size", data.size, step, 2048),
            ("data.crop", data.crop, step, data.size),
            ("data.validation", data.validation, 1, 100_000),
            ("data.workers", data.workers, 0, 1024),
            ("data.textures", data.textures, 0, 1),
            ("data.seed", data.seed, 0, 2**31),
            ("training.seed", training.seed, 0, 2**31),
            ("training.batch", training.batch, 1, 65_536),
            ("loss.late", self.loss.late, 0, 1_000_000_000),
            ("training.steps", training.steps, 1, 1_000_000_000),
            ("training.epoch", training.epoch, 1, 1_000_000_000),
            ("training.warmup", training.warmup, 0, 1_000_000_000),
            ("training.threads", training.threads, 0, 1024),
            ("training.decay", training.decay, 0, 1),
            ("training.clip", training.clip, 0, 1e30),
            ("training.weight_decay", training.weight_decay, 0, 1e3),
            ("training.averaged", training.averaged, 0, 0.999999),
            ("training.checkpoint_minutes", training.checkpoint_minutes, 0, 1e6),
        ):
            if not least <= value <= most:
                raise InputError(f"{name}: found {value}; expected {least} to {most:g}")
        for name, rate in (("learning_rate", training.learning_rate), ("adversary_rate", training.adversary_rate)):
            if not 0 < rate < math.inf:
                raise InputError(f"training.{name}: found {rate}; expected a number above 0")
        if data.crop % step:
            raise InputError(
                f"data.crop: found {data.crop}; expected a multiple of {step}, the network's coarsest step"
            )

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return asdict(self)


def built_config(source: str, content: Mapping[str, Any]) -> RestorationConfig:
    """A configuration from the sections of a TOML file; `source` is said in errors."""
    sections: dict[str, Any] = {
        "network": RestorerConfig,
        "data": DataConfig,
        "training": DescentConfig,
        "loss": LossConfig,
    }
    if content.get("task", TASK) != TASK:
        raise InputError(f"{source}: task: found {content['task']!r}; expected {TASK!r}, or none")
    unknown = sorted(content.keys() - {"name", "task", *sections})
    if unknown:
        raise InputError(f"{source}: found {unknown[0]!r}; expected {', '.join(['task', *sections])}")
    try:
        values = {name: _section(name, kind, content.get(name, {})) for name, kind in sections.items()}
        return RestorationConfig(name=str(content.get("name", "unnamed")), **values)
    except InputError as error:
        raise InputError(f"{source}: {error}") from None


def _section(name: str, kind: type[_T], content: Any) -> _T:
    if not isinstance(content, Mapping):
        raise InputError(f"{name}: found {content!r}; expected a section of settings")
    defaults, names = kind(), [one.name for one in fields(kind)]  # type: ignore[arg-type]
    for key, value in content.items():
        if key not in names:
            raise InputError(f"{name}: found {key!r}; expected some of {', '.join(names)}")
        wanted = getattr(defaults, key)
        kinds = {float: (float, int), tuple: (list, tuple), dict: (dict,)}.get(type(wanted), (type(wanted),))
        if isinstance(value, bool) or not isinstance(value, kinds):
            raise InputError(f"{name}.{key}: found {value!r}; expected a value such as {wanted!r}")
    return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in content.items()})
