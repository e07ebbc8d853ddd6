"""Where a training run stands, on disk: weights, the optimiser's memory, the step, the best score. No pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from biofacenet.networks.network import BioFaceNet
from biofacenet.networks.weights import check_tensors, read_tensors
from msfit.errors import InputError
from msfit.io.extras import need
from msfit.io.output import written_whole

_NETWORK, _OPTIMIZER = "network.", "optimizer."
_FORM = "expected a checkpoint that `biofacenet train` wrote; begin anew with --afresh"


@dataclass
class Progress:
    """What a run remembers besides tensors."""

    step: int = 0
    seconds: float = 0.0
    """Spent in training, over all sittings."""
    best: float = float("inf")
    """Lowest validation score."""
    stale: int = 0
    """Epochs since then."""
    sums: dict[str, float] = field(default_factory=dict)
    """Terms of the loss since the last epoch, each over the steps of an epoch."""


def save_checkpoint(
    path: Path,
    network: BioFaceNet,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    config: Mapping[str, Any],
) -> None:
    """Write all that `load_checkpoint` needs, in one file that appears whole."""
    tensors = {_NETWORK + name: value.detach() for name, value in network.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        for name, value in state.items():
            if value is not None:
                tensors[f"{_OPTIMIZER}{index}.{name}"] = torch.as_tensor(value)
    tensors = {name: value.cpu().contiguous() for name, value in tensors.items()}
    notes = {"progress": json.dumps(vars(progress)), "config": json.dumps(config)}
    with written_whole(path) as part:
        part.write_bytes(need("safetensors.torch", "train").save(tensors, notes))


def load_checkpoint(
    path: Path, network: BioFaceNet, optimizer: torch.optim.Optimizer, config: Mapping[str, Any]
) -> Progress:
    """Set a network and an optimiser to where a run stood.

    Raises
    ------
    InputError
        Not a checkpoint, or one of other settings: network, data and loss have to be the same; the number of steps and
        the machine may change.
    """
    tensors = read_tensors(path, _FORM)
    notes = _notes(path)
    for section in ("network", "data", "loss"):
        if _settled(notes["config"].get(section)) != _settled(config[section]):
            raise InputError(
                f"{path}: a checkpoint of another {section} than this configuration's; resume with the configuration"
                " that it was made with, or train into another folder"
            )
    weights = {name.removeprefix(_NETWORK): value for name, value in tensors.items() if name.startswith(_NETWORK)}
    check_tensors(path, weights, network.state_dict(), "this network")
    network.load_state_dict(weights)
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith(_OPTIMIZER):
            index, key = name.removeprefix(_OPTIMIZER).split(".", 1)
            state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return Progress(**notes["progress"])


def _notes(path: Path) -> dict[str, Any]:
    safetensors = need("safetensors", "train")
    with safetensors.safe_open(path, framework="pt") as file:
        notes = file.metadata() or {}
    try:
        return {name: json.loads(notes[name]) for name in ("progress", "config")}
    except (KeyError, ValueError, RecursionError):
        raise InputError(f"{path}: not a checkpoint of a training run; {_FORM}") from None


def _settled(section: Any) -> Any:
    """A section as JSON hands it back, without what does not change the numbers."""
    plain = json.loads(json.dumps(section))
    return {name: value for name, value in plain.items() if name != "workers"} if isinstance(plain, dict) else plain
