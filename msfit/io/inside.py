"""What lies in HDF5 and Zarr stores below their root: pictures in groups, and wavelengths that belong to them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from msfit.data.wavelengths import to_nanometres
from msfit.errors import InputError, said
from msfit.io.extras import need
from msfit.io.matlab.variables import MORE_WAVES, QUANTITIES, listed

if TYPE_CHECKING:
    import xarray

_MOST, _DEEPEST = 20_000, 16  # objects that are looked at, and groups inside groups


class Stored(NamedTuple):
    """An array of a store: its path inside, and the array of h5py or zarr."""

    path: str
    array: Any

    @property
    def name(self) -> str:
        """Without its groups."""
        return self.path.rpartition("/")[2]


def stored_arrays(path: Path, failed: dict[str, str] | None = None) -> list[Stored]:
    """The arrays of numbers in a store, those of all its groups. Of HDF5 the file stays open while they are held.

    With `failed`, members of a Zarr store that zarr cannot open are passed over, and said there.
    """
    if path.is_dir():
        root = need("zarr").open(path, mode="r")
        return [Stored("values", root)] if hasattr(root, "shape") else list(_of_zarr(root, path, "", 0, failed))
    import h5py

    return list(_of_hdf5(h5py.File(path, "r"), "", 0))


def _of_zarr(group: Any, folder: Path, above: str, depth: int, failed: dict[str, str] | None) -> Iterator[Stored]:
    if failed is None:
        members = [(name, member) for _, (name, member) in zip(range(_MOST), group.members(), strict=False)]
    else:
        members = []
        for _, inner in zip(range(_MOST), sorted(folder.iterdir()), strict=False):
            if any((inner / name).is_file() for name in ("zarr.json", ".zarray", ".zgroup")):
                try:
                    members.append((inner.name, group[inner.name]))
                except Exception as error:  # as zarr meets types and codecs that it does not know
                    failed[above + inner.name] = said(error)
    for name, member in members:
        if hasattr(member, "shape"):
            yield Stored(above + name, member)
        elif depth < _DEEPEST:
            yield from _of_zarr(member, folder / name, f"{above}{name}/", depth + 1, failed)


def _of_hdf5(group: Any, above: str, depth: int) -> Iterator[Stored]:
    import h5py

    for _, name in zip(range(_MOST), group, strict=False):
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            continue
        member = group[name]
        if isinstance(member, h5py.Dataset):
            if not _is_bare_dimension(member):
                yield Stored(above + name, member)
        elif isinstance(member, h5py.Group) and depth < _DEEPEST:
            yield from _of_hdf5(member, f"{above}{name}/", depth + 1)


def _is_bare_dimension(array: Any) -> bool:
    """Whether it is how netCDF-4 keeps the length of a dimension without coordinates: a variable of zeros."""
    mark = array.attrs.get("NAME", b"")
    text = mark.decode("latin-1") if isinstance(mark, bytes) else str(mark)
    return text.startswith("This is a netCDF dimension but not a netCDF variable")


def picture_inside(path: Path) -> str | None:
    """Path in the store of its one picture, where it lies in a group; None where there is none.

    Raises
    ------
    InputError
        There are several.
    """
    cubes = [
        one.path
        for one in stored_arrays(path)
        if "/" in one.path and len([n for n in one.array.shape if n > 1]) == 3 and one.array.dtype.kind in "uif"
    ]
    known = [cube for cube in cubes if cube.rpartition("/")[2] in QUANTITIES]
    found = known if len(known) == 1 else cubes
    if len(found) > 1:
        raise InputError(f"holds {listed(found)}; expected one picture: --variable NAME (variable='NAME')")
    return found[0] if found else None


def wavelengths_inside(path: Path, array: xarray.DataArray) -> np.ndarray | None:
    """Wavelengths [nm] of an array from anywhere in its store, where one variable alone may be meant.

    That is the coordinate of one of the array's dimensions, or else a variable by one of the usual names that is as
    long as one of its axes.
    """
    vectors = [
        one
        for one in stored_arrays(path)
        if one.array.ndim == 1 and one.array.dtype.kind in "uif" and one.array.size in array.shape
    ]
    coordinates = [one for one in vectors if one.name in array.dims and _is_name(one.name.partition("_")[0])]
    named = coordinates or [one for one in vectors if _is_name(one.name)]
    found = [(one, _in_nanometres(one)) for one in named]
    if not found or any(not np.array_equal(nm, found[0][1]) for _, nm in found):
        return None
    return found[0][1]


def _is_name(name: str) -> bool:
    return name.lower() in (*MORE_WAVES, "band", "bands")


def _in_nanometres(one: Stored) -> np.ndarray:
    units = next((value for name, value in one.array.attrs.items() if name.lower() in ("units", "unit")), None)
    text = units.decode("latin-1") if isinstance(units, bytes) else units
    return to_nanometres(np.asarray(one.array[:]), text if isinstance(text, str) else None)


def unread_in(parent: Any) -> dict[str, str]:
    """Names in an HDF5 file or group that are no arrays in it, and what they are; "" where there is nothing to read."""
    import h5py

    found = {}
    for _, name in zip(range(_MOST), parent, strict=False):
        link = parent.get(name, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            found[name] = f"a link to {link.filename}"
            continue
        try:
            kind = parent.get(name, getclass=True)
        except (KeyError, RuntimeError):
            if not isinstance(link, h5py.SoftLink):
                raise
            found[name] = f"a link to {link.path}, which is not there"
            continue
        if kind is h5py.Group and name in ("mask", "illuminant"):
            found[name] = "a group"
        elif kind is h5py.Datatype:
            found[name] = "a type"
        elif kind is h5py.Dataset and parent[name].shape is None:
            found[name] = ""
        elif kind is h5py.Dataset and (packed := _unknown_filter(parent[name])):
            found[name] = packed
        elif kind is h5py.Dataset and isinstance(link, h5py.HardLink) and (elsewhere := _elsewhere(parent[name])):
            found[name] = elsewhere
    return found


def outside_of(parent: Any) -> dict[str, str]:
    """Names in an HDF5 file or group whose content lies in other files, and how."""
    import h5py

    found = {}
    for _, name in zip(range(_MOST), parent, strict=False):
        link = parent.get(name, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            found[name] = f"a link to {link.filename}"
        elif not isinstance(link, h5py.HardLink) or parent.get(name, getclass=True) is not h5py.Dataset:
            continue
        elif elsewhere := _elsewhere(parent[name]):
            found[name] = elsewhere
    return found


def _unknown_filter(array: Any) -> str | None:
    """How the chunks of an array of an HDF5 file are packed, where the library at hand cannot unpack them."""
    import h5py

    kept = array.id.get_create_plist()
    for number in range(kept.get_nfilters()):
        code, _, _, name = kept.get_filter(number)
        if not h5py.h5z.filter_avail(code):
            return f"packed by the filter {name.decode('utf-8', 'replace') or code}, which is not installed"
    return None


def _elsewhere(array: Any) -> str | None:
    """In which other file the samples of an array of an HDF5 file lie."""
    import h5py

    kept = array.id.get_create_plist()
    if kept.get_external_count():
        return f"stored in {kept.get_external(0)[0].decode('utf-8', 'replace')}"
    if kept.get_layout() == h5py.h5d.VIRTUAL:
        names = {kept.get_virtual_filename(k) for k in range(kept.get_virtual_count())}
        if others := sorted(names - {"."}):
            return f"assembled from {others[0]}"
    return None
