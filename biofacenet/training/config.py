"""Everything that defines a training run, from a TOML file or a name."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from biofacenet.networks.network import NetworkConfig
from biofacenet.training.losses import LOSSES, weighted
from msfit.errors import InputError
from msfit.skin.models import REFERENCE_MODEL

OPTIMIZERS = ("adamw", "sgd")
RENDERED = ("processor", "device")
PRECISIONS = ("auto", "float32", "bfloat16", "float16")
_T = TypeVar("_T")
_LARGEST_SEED = 2**63 - 1  # of torch
_LARGEST_RATE = 1e3


@dataclass(frozen=True)
class DataConfig:
    """Samples: see `biofacenet.data.synthetic`."""

    samples: int = 0
    """How many are kept on disk and used again; 0: none, the endless stream."""
    portraits: int = 0
    """How many portraits are kept on disk and photographed anew for every batch, by cameras that meter and balance
    (`biofacenet.data.portraits`), instead of samples; 0: none."""
    heads: int = 768
    """Heads in the bank."""
    seed: int = 0
    model: str = REFERENCE_MODEL
    """Skin model whose fit is the truth."""
    size: int = 64
    """Height and width [pixels]."""
    balance: float = 0.75
    """How far classes of skin tone are brought to equal shares, 0 to 1."""
    workers: int = 2
    """Processes that draw samples; 0: the one that trains."""
    rendered: str = "processor"
    """Where samples of the endless stream are rendered: "processor", or "device", that of the network."""
    validation: int = 256
    """Samples of other persons and heads, on which the figures of each epoch are measured."""
    degraded: float = 0.5
    """Share of pictures that are made worse (`biofacenet.data.augment`)."""
    moved: float = 0.5
    """Share of pictures that are moved, turned and zoomed (`biofacenet.data.geometry`)."""
    photos: str = ""
    """Folder of photographs, see `biofacenet.data.photographs`; none if empty."""
    synthetic: bool = True
    """Train on samples; false: on photographs alone."""


@dataclass(frozen=True)
class TrainingConfig:
    """The descent."""

    batch: int = 64
    steps: int = 30_000
    epoch: int = 500
    """Steps after which figures are measured, logs and panels written."""
    optimizer: str = "adamw"
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    momentum: float = 0.9
    """Of SGD."""
    warmup: int = 500
    """Steps in which the learning rate rises."""
    decay: float = 0.4
    """Share of all steps, the last, in which it falls to zero."""
    clip: float = 1.0
    """Largest norm of the gradient; 0: any."""
    precision: str = "auto"
    """Of the convolutions: "auto" is bfloat16 on CUDA and float32 on a CPU."""
    device: str = "auto"
    threads: int = 0
    """Of torch on a CPU; 0: as many as it takes."""
    seed: int = 0
    start: str = ""
    """Weights to begin from: shipped ones by name, or a .safetensors file; empty: random ones."""
    patience: int = 0
    """Epochs without a better score after which training stops; 0: never."""
    checkpoint_minutes: float = 3.0
    panels: int = 6
    """Validation samples drawn each epoch; 0: none."""


@dataclass(frozen=True)
class LossConfig:
    """What is minimised: see `biofacenet.training.losses`."""

    name: str = "supervised"
    weights: Mapping[str, float] = field(default_factory=dict)
    """Factors of its terms; 1 where absent."""
    photo_share: float = 0.25
    """Factor of the loss on photographs beside that on samples."""

    @property
    def of_photos(self) -> str:
        """The loss on photographs: the published one, or the self-supervised."""
        return "paper" if self.name == "paper" else "self-supervised"


@dataclass(frozen=True)
class Config:
    """A training run.

    Raises
    ------
    InputError
        Values out of range.
    """

    name: str = "unnamed"
    network: NetworkConfig = field(default_factory=NetworkConfig)
    data: DataConfig = field(default_factory=DataConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    loss: LossConfig = field(default_factory=LossConfig)

    def __post_init__(self) -> None:
        data, training, loss = self.data, self.training, self.loss
        _check("training.optimizer", training.optimizer in OPTIMIZERS, training.optimizer, f"of {OPTIMIZERS}")
        _check("data.rendered", data.rendered in RENDERED, data.rendered, f"of {RENDERED}")
        _check("training.precision", training.precision in PRECISIONS, training.precision, f"of {PRECISIONS}")
        _check("loss.name", loss.name in LOSSES, loss.name, f"of {tuple(LOSSES)}")
        weighted({}, loss.weights)  # refuses names of terms that there are not
        for name, weight in loss.weights.items():
            number = isinstance(weight, int | float) and not isinstance(weight, bool)
            _check(f"loss.weights.{name}", number and 0 <= weight < math.inf, weight, "a number, at least 0")
        for name, value, least, most in (
            ("data.workers", data.workers, 0, 1_024),
            ("data.heads", data.heads, 1, 1_000_000),
            ("data.size", data.size, 16, 2_048),
            ("data.seed", data.seed, 0, _LARGEST_SEED),
            ("data.validation", data.validation, 2, 1_000_000),
            ("data.samples", data.samples, 0, 100_000_000),
            ("data.portraits", data.portraits, 0, 100_000_000),
            ("training.batch", training.batch, 2, 65_536),
            ("training.steps", training.steps, 1, 1_000_000_000),
            ("training.epoch", training.epoch, 1, 1_000_000_000),
            ("training.warmup", training.warmup, 0, 1_000_000_000),
            ("training.threads", training.threads, 0, 1_024),
            ("training.seed", training.seed, 0, _LARGEST_SEED),
            ("training.panels", training.panels, 0, 10_000),
            ("training.patience", training.patience, 0, 1_000_000_000),
            ("training.weight_decay", training.weight_decay, 0, 1e3),
            ("training.momentum", training.momentum, 0, 1),
            ("training.clip", training.clip, 0, 1e30),
            ("training.checkpoint_minutes", training.checkpoint_minutes, 0, 1e6),
            ("loss.photo_share", loss.photo_share, 0, 1e30),
        ):
            _check(name, least <= value <= most, value, f"{least} to {most:g}")
        for name, share in (
            ("data.degraded", data.degraded),
            ("data.moved", data.moved),
            ("data.balance", data.balance),
            ("training.decay", training.decay),
        ):
            _check(name, 0 <= share <= 1, share, "0 to 1")
        rate = training.learning_rate
        _check("training.learning_rate", 0 < rate <= _LARGEST_RATE, rate, f"above 0, up to {_LARGEST_RATE:g}")
        _check(
            "data.photos", bool(data.photos) or data.synthetic, data.photos, "a folder where data.synthetic is false"
        )
        for name, kept in (("samples", data.samples), ("portraits", data.portraits)):
            _check(f"data.{name}", not 0 < kept < training.batch, kept, "0, or at least a batch")
        _check("data.portraits", not (data.portraits and data.samples), data.portraits, "0 where data.samples is given")
        _check("data.validation", not data.portraits or data.validation >= 8, data.validation, "8 or more")

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {**asdict(self), "network": self.network.to_dict()}


def read_config(source: str | Path | Mapping[str, Any]) -> Config:
    """A configuration from a TOML file, by the name of a shipped one, or from a mapping of the same form.

    Parameters
    ----------
    source : str, Path or mapping
        "quick", "compact", "photographs" and "paper" ship.

    Raises
    ------
    InputError
        No such file or name; not TOML; an unknown key; a value of another type or out of range.
    """
    if isinstance(source, Mapping):
        return _built("configuration", source)
    return _built(*read_sections(source))


def read_sections(source: str | Path) -> tuple[str, dict[str, Any]]:
    """Where a configuration lies, and its sections as they stand there; errors as of `read_config`."""
    path = Path(source)
    if path.suffix != ".toml":
        folder = resources.files("biofacenet").joinpath("configs")
        names = sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))
        if str(source) not in names:
            raise InputError(f"config: found {str(source)!r}; expected one of {', '.join(names)}, or a .toml file")
        path = Path(str(folder.joinpath(f"{source}.toml")))
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); expected a TOML file of settings") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not TOML ({error}); expected sections network, data, training, loss") from None
    return str(path), {"name": path.stem, **content}


def _built(source: str, content: Mapping[str, Any]) -> Config:
    if "task" in content:
        raise InputError(
            f"{source}: a configuration of {content['task']}, not of a network that takes faces apart; train it with"
            " `biofacenet train`"
        )
    sections = {"network": NetworkConfig, "data": DataConfig, "training": TrainingConfig, "loss": LossConfig}
    unknown = sorted(content.keys() - {"name", *sections})
    if unknown:
        raise InputError(f"{source}: found {unknown[0]!r}; expected {', '.join(['name', *sections])}")
    try:
        values: dict[str, Any] = {
            name: _section(name, section_type, content.get(name, {})) for name, section_type in sections.items()
        }
        return Config(name=str(content.get("name", "unnamed")), **values)
    except InputError as error:
        raise InputError(f"{source}: {error}") from None


def _section(name: str, section_type: type[_T], content: Any) -> _T:
    if not isinstance(content, Mapping):
        raise InputError(f"{name}: found {content!r}; expected a section of settings")
    defaults = section_type()
    names = [one.name for one in fields(section_type)]  # type: ignore[arg-type]
    for key, value in content.items():
        if key not in names:
            raise InputError(f"{name}: found {key!r}; expected some of {', '.join(names)}")
        wanted = getattr(defaults, key)
        if isinstance(wanted, bool) and isinstance(value, bool):
            continue
        kinds = {float: (float, int), tuple: (list,), dict: (dict,)}.get(type(wanted), (type(wanted),))
        if isinstance(value, bool) or not isinstance(value, kinds):
            raise InputError(f"{name}.{key}: found {value!r}; expected a value such as {wanted!r}")
    return section_type(**{key: tuple(value) if isinstance(value, list) else value for key, value in content.items()})


def _check(name: str, right: bool, value: Any, expected: str) -> None:
    if not right:
        raise InputError(f"{name}: found {value!r}; expected {expected}")
