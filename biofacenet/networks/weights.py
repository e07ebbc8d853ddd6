"""Weights on disk: a safetensors file for the numbers, a JSON file of the same name for what they mean.

Neither can run code. What is read is checked before it is used: form, architecture, names, shapes, finite numbers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.overrides import TorchFunctionMode

from biofacenet.networks.decoder import HIGHEST_FRACTIONS
from biofacenet.networks.network import BioFaceNet, NetworkConfig
from msfit.errors import InputError
from msfit.io.extras import need
from msfit.io.output import written_whole
from msfit.skin.models import get_model

_FORMAT = "biofacenet-1"
_FORM = "expected NAME.safetensors with NAME.json beside it, as `biofacenet train` writes them"
#: What the heads of the pigments mean, written beside all weights: other bounds would need another decoder.
HEADS = {"bounds": "wide", "highest_fractions": dict(zip(("f_mel", "f_blood"), HIGHEST_FRACTIONS, strict=True))}


class Loaded(NamedTuple):
    """A network with its weights, in evaluation mode, and what its file says of their making."""

    network: BioFaceNet
    training: Mapping[str, Any]


def save_weights(network: BioFaceNet, path: str | Path, training: Mapping[str, Any]) -> None:
    """Write a network's weights to `path` (.safetensors) and its configuration to the .json beside it.

    Parameters
    ----------
    network : BioFaceNet
    path : str or Path
    training : mapping
        What JSON takes: `skin_model`, and what else there is to say: bounds, split, seed, commit, time ...

    Raises
    ------
    InputError
        Another extension; a place that cannot be written to.
    """
    path = _checked_name(path)
    safetensors = need("safetensors.torch", "photo")
    tensors = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    with written_whole(path) as part:
        part.write_bytes(safetensors.save(tensors))
    content = {"format": _FORMAT, "network": network.config.to_dict(), "training": dict(training)}
    with written_whole(path.with_suffix(".json")) as part:
        part.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def load_weights(path: str | Path, device: torch.device | str = "cpu") -> Loaded:
    """Read a network as `save_weights` writes it.

    Parameters
    ----------
    path : str or Path
        The .safetensors file, or the .json beside it.
    device : torch.device or str

    Returns
    -------
    Loaded

    Raises
    ------
    InputError
        A file that is absent, cut off or something else; weights of another architecture than the configuration's;
        numbers that are not finite; an unknown skin model, or heads of other bounds than the decoder's.
    """
    path = Path(path)
    path = path.with_suffix(".safetensors") if path.suffix == ".json" else _checked_name(path)
    described = path.with_suffix(".json")
    content = read_configuration(described)
    try:
        config = NetworkConfig(**content["network"])
    except (TypeError, InputError) as error:
        raise InputError(f"{described}: not a network's configuration ({error}); {_FORM}") from None
    training = _checked_training(described, content.get("training"))
    tensors = read_tensors(path)
    with sizes_alone():
        wanted = BioFaceNet(config).state_dict()
    check_tensors(path, tensors, wanted, f"the architecture {config.architecture} {config.widths}")
    network = BioFaceNet(config)
    network.load_state_dict(tensors)
    return Loaded(network.to(device).eval(), training)


class _NoInitialisation(TorchFunctionMode):
    """Networks are built without random numbers, for which torch would load its compiler where tensors have none."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__module__", None) == "torch.nn.init":
            return kwargs["tensor"] if kwargs else args[0]
        return func(*args, **(kwargs or {}))


@contextmanager
def sizes_alone() -> Iterator[None]:
    """Networks that are built inside have names and sizes alone: a wrong configuration may ask for any memory."""
    with torch.device("meta"), _NoInitialisation():
        yield


def read_configuration(path: Path, form: str = _FORMAT, kind: str = "network", expected: str = _FORM) -> dict[str, Any]:
    """The JSON file of a network, or of another `kind` with a format of its own, or an InputError."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file; {expected}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); {expected}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON ({error}); {expected}") from None
    if not isinstance(content, dict) or content.get("format") != form or not isinstance(content.get("network"), dict):
        raise InputError(f"{path}: not the configuration of a {kind} (no format {form!r}); {expected}")
    return content


def read_tensors(path: Path, expected: str = _FORM) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file, or an InputError that says what was expected."""
    safetensors = need("safetensors.torch", "photo")
    try:
        tensors: dict[str, torch.Tensor] = safetensors.load(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file; {expected}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); {expected}") from None
    except Exception as error:  # safetensors raises its own kinds, and KeyError for types that it does not know
        raise InputError(f"{path}: not a whole safetensors file ({error}); {expected}") from None
    return tensors


def check_tensors(
    path: Path, tensors: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor], whose: str
) -> None:
    """Make sure that tensors fit: same names, shapes and types, finite numbers; otherwise an InputError."""
    absent, foreign = sorted(wanted.keys() - tensors.keys()), sorted(tensors.keys() - wanted.keys())
    if absent or foreign:
        odd = f"{absent[0]!r} is not there" if absent else f"{foreign[0]!r} is unknown"
        raise InputError(
            f"{path}: not weights of {whose}: {odd} ({len(absent)} absent, {len(foreign)} unknown); use the files that"
            " were written together"
        )
    for name, tensor in wanted.items():
        if tensors[name].shape != tensor.shape:
            raise InputError(
                f"{path}: not weights of {whose}: {name!r} has shape {tuple(tensors[name].shape)}; expected"
                f" {tuple(tensor.shape)}"
            )
        if tensors[name].dtype != tensor.dtype:
            raise InputError(
                f"{path}: not weights of {whose}: {name!r} holds {tensors[name].dtype}; expected {tensor.dtype}"
            )
        if not bool(torch.isfinite(tensors[name]).all()):
            raise InputError(f"{path}: {name!r} holds numbers that are not finite; use another checkpoint")


def shipped_weights(name: str = "default") -> Path:
    """Where the weights of that name lie that come with the library; "default" is `compact`.

    Raises
    ------
    InputError
        There are none of that name.
    """
    folder = Path(str(resources.files("biofacenet").joinpath("weights")))
    names = sorted(path.stem for path in folder.glob("*.safetensors"))
    wanted = "compact" if name == "default" else name
    if wanted not in names:
        raise InputError(f"weights: found {name!r}; expected one of {', '.join(['default', *names])}, or a file's path")
    return folder / f"{wanted}.safetensors"


def trained_size(training: Mapping[str, Any]) -> int:
    """Side of the pictures that a network was trained on [pixels], as its settings say; 64 where there are none."""
    try:
        size = training.get("settings", {}).get("data", {}).get("size", 64)
    except AttributeError:
        size = None
    if not isinstance(size, int) or size < 16:
        raise InputError(f"training.settings.data.size: found {size!r}; expected at least 16 pixels")
    return size


def _checked_training(path: Path, training: Any) -> Mapping[str, Any]:
    """What is written of a network's training, as far as its maps rest on it; otherwise an InputError."""
    if not isinstance(training, dict) or not isinstance(training.get("skin_model"), str):
        raise InputError(f"{path}: does not name the skin model of its network (training.skin_model); {_FORM}")
    try:
        get_model(training["skin_model"])
        trained_size(training)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    for name, expected in HEADS.items():
        if training.get(name, expected) != expected:
            raise InputError(
                f"{path}: training.{name}: found {training[name]!r}; expected {expected!r}, which the decoder has"
            )
    return training


def _checked_name(path: str | Path) -> Path:
    path = Path(path)
    if path.suffix != ".safetensors":
        raise InputError(f"{path}: found the extension {path.suffix!r}; {_FORM}")
    return path
