"""Weights of restoration networks on disk: safetensors, and a JSON file beside them that says how they were made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import torch

from biofacenet.networks.weights import check_tensors, read_configuration, read_tensors, sizes_alone
from biofacenet.restoration.network import Restorer, RestorerConfig
from msfit.errors import InputError
from msfit.io.extras import need
from msfit.io.output import written_whole

_FORMAT = "biofacenet-restorer-1"
_FORM = "expected NAME.safetensors with NAME.json beside it, as `biofacenet train --config restore` writes them"


class Restoring(NamedTuple):
    """A network with its weights, in evaluation mode, and what its file says of their making."""

    network: Restorer
    training: Mapping[str, Any]
    name: str = "network"


def save_restorer(network: Restorer, path: str | Path, training: Mapping[str, Any]) -> None:
    """Write a network's weights to `path` (.safetensors) and its configuration to the .json beside it."""
    path = Path(path)
    if path.suffix != ".safetensors":
        raise InputError(f"{path}: found the extension {path.suffix!r}; {_FORM}")
    tensors = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    with written_whole(path) as part:
        part.write_bytes(need("safetensors.torch", "photo").save(tensors))
    content = {"format": _FORMAT, "network": network.config.to_dict(), "training": dict(training)}
    with written_whole(path.with_suffix(".json")) as part:
        part.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def load_restorer(name_or_path: str | Path = "default", device: torch.device | str = "cpu") -> Restoring:
    """A restoration network that ships ("default"), or from its files.

    Raises
    ------
    InputError
        No such name; a file that is absent, damaged or something else; weights of another size than the
        configuration's; numbers that are not finite.
    """
    path = Path(name_or_path)
    if path.suffix not in (".safetensors", ".json"):
        path = _shipped(str(name_or_path))
    path, described = path.with_suffix(".safetensors"), path.with_suffix(".json")
    content = read_configuration(described, _FORMAT, "restoration network", _FORM)
    try:
        sizes = {name: tuple(values) for name, values in content["network"].items()}
        config, training = RestorerConfig(**sizes), dict(content.get("training", {}))
    except (TypeError, ValueError, KeyError, AttributeError, InputError) as error:
        raise InputError(f"{described}: not a network's configuration ({error}); {_FORM}") from None
    tensors = read_tensors(path, _FORM)
    with sizes_alone():
        wanted = Restorer(config).state_dict()
    check_tensors(path, tensors, wanted, f"a restoration network of widths {config.widths}")
    network = Restorer(config)
    network.load_state_dict(tensors)
    return Restoring(network.to(device).eval(), training, path.stem)


def _shipped(name: str) -> Path:
    folder = Path(str(resources.files("biofacenet").joinpath("restoration", "weights")))
    names = sorted(path.stem for path in folder.glob("*.json"))
    wanted = "restore" if name == "default" else name
    if wanted not in names:
        raise InputError(
            f"restorer: found {name!r}; expected one of {', '.join(['default', *names])}, or a .safetensors file"
        )
    return folder / f"{wanted}.safetensors"
