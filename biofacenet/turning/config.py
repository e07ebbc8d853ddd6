"""Everything that defines a training run of learned front views."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from msfit.errors import InputError


@dataclass(frozen=True)
class FrontalConfig:
    """What defines a run.

    Raises
    ------
    InputError
        Values out of range.
    """

    name: str = "frontal"
    pairs: str = ""
    """Folder with turned/ and front/; empty: heads are rendered."""
    heads: int = 400
    """How many are rendered, six pairs each."""
    size: int = 128
    """Height and width [pixels]."""
    width: int = 24
    """Channels of the network's first level."""
    batch: int = 16
    steps: int = 4000
    learning_rate: float = 1e-3
    critic: float = 0.0
    """Weight of the critic in the loss; 0: none."""
    critic_from: float = 0.6
    """Share of the steps before it has a say."""
    seed: int = 0
    checkpoint_minutes: float = 3.0

    def __post_init__(self) -> None:
        for name, right, expected in (
            ("heads", 1 <= self.heads <= 10_000_000, "1 to 10,000,000"),
            ("size", 32 <= self.size <= 1024 and self.size % 16 == 0, "32 to 1024, a multiple of 16"),
            ("width", 8 <= self.width <= 256, "8 to 256"),
            ("batch", 1 <= self.batch <= 4096, "1 to 4096"),
            ("steps", 1 <= self.steps <= 1_000_000_000, "1 to 1e9"),
            ("learning_rate", 0 < self.learning_rate <= 1, "above 0, up to 1"),
            ("critic", 0 <= self.critic <= 1e3, "0 to 1000"),
            ("critic_from", 0 <= self.critic_from <= 1, "0 to 1"),
            ("seed", 0 <= self.seed < 2**63, "0 or more"),
            ("checkpoint_minutes", 0 <= self.checkpoint_minutes <= 1e6, "0 to 1e6"),
        ):
            if not right:
                raise InputError(f"{name}: found {getattr(self, name)!r}; expected {expected}")


def built_config(source: str, sections: Mapping[str, Any]) -> FrontalConfig:
    """A configuration from the keys of a TOML file, `task` aside."""
    defaults: dict[str, Any] = asdict(FrontalConfig())
    values: dict[str, Any] = {}
    for key, value in sections.items():
        if key == "task":
            continue
        if key not in defaults:
            raise InputError(f"{source}: found {key!r}; expected some of task, {', '.join(defaults)}")
        number = isinstance(defaults[key], float) and isinstance(value, int | float)
        if isinstance(value, bool) or not (number or isinstance(value, type(defaults[key]))):
            raise InputError(f"{source}: {key}: found {value!r}; expected a value such as {defaults[key]!r}")
        values[key] = value
    try:
        return FrontalConfig(**values)
    except InputError as error:
        raise InputError(f"{source}: {error}") from None
