"""Data sets that users download from their owners: what they are, and getting them whole."""

from __future__ import annotations

import contextlib
import datetime
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path

from msfit.errors import InputError
from msfit.io.datasets.archive import check_archive, unpack
from msfit.io.datasets.download import ResumingDownloader
from msfit.io.output import written_whole

Progress = Callable[[str, int, int], None]

# File name of the checksums in the folder of a data set.
CHECKSUMS = "checksums.json"
_MANIFESTS = {"iset-faces": "iset_faces.json", "iset-faces-3m": "iset_faces_3m.json"}


@dataclass(frozen=True)
class DataSet:
    """What a manifest says of a data set.

    Attributes
    ----------
    name, title, licence : str
    page : str
        Where people find it.
    root : str
        URL that the file names are appended to.
    files : mapping of str to (str or None)
        SHA-256 of each archive, None where its owner has not told.
    """

    name: str
    title: str
    page: str
    licence: str
    root: str
    files: dict[str, str | None]


def data_set(name: str) -> DataSet:
    """The manifest of a data set.

    Raises
    ------
    InputError
        There is none of that name.
    """
    if name not in _MANIFESTS:
        raise InputError(f"data set: found {name!r}; expected one of {', '.join(_MANIFESTS)}")
    found = json.loads(files("msfit.io.datasets").joinpath(_MANIFESTS[name]).read_text("utf-8"))
    return DataSet(**{**found, "files": {entry["file"]: entry["sha256"] for entry in found["files"]}})


def fetch(
    source: str | DataSet,
    folder: str | Path,
    *,
    progress: Progress | None = None,
    timeout: float = 30.0,
    attempts: int = 4,
    insecure: bool = False,
) -> list[Path]:
    """Download a data set and unpack it.

    Archives that lie in `folder` already, fetched earlier or put there by hand, are not downloaded again; a download
    that was broken off goes on where it was. The SHA-256 of an archive is recorded in ``checksums.json`` when it is
    first there, and every later run checks against that.

    Parameters
    ----------
    source : str or DataSet
        A name such as ``"iset-faces"``, or a manifest.
    folder : str or Path
        Where archives and their contents go. Made if absent.
    progress : callable, optional
        Gets the file's name, the bytes that have come, and the bytes there will be (0 where the server does not say).
    timeout : float
        Seconds without a byte after which a connection counts as broken.
    attempts : int
        Connections in a row that may bring nothing new before it gives up.
    insecure : bool
        Whether the server, and those that it refers to, may be asked without encryption (http), so that anybody on the
        way may change what comes.

    Returns
    -------
    list of Path
        The unpacked files.

    Raises
    ------
    InputError
        An address that is not https, a member of an archive in the place of an archive or of ``checksums.json``, no
        connection (the message names the page and where to put the files by hand), a file that is not the one
        recorded, a damaged archive, an archive that would write outside the folder, no room.
    """
    chosen = data_set(source) if isinstance(source, str) else source
    if not insecure and not chosen.root.lower().startswith("https://"):
        raise InputError(f"{chosen.root}: is not encrypted; expected https, or --insecure (insecure=True)")
    unpacked: list[Path] = []
    reserved = [CHECKSUMS, *chosen.files, *(f"{name}.part" for name in chosen.files)]
    with _made(Path(folder)) as folder:
        for name in chosen.files:
            report = None if progress is None else partial(progress, name)
            downloader = ResumingDownloader(folder / f"{name}.part", report, timeout, attempts, insecure=insecure)
            archive = _archive(chosen, name, folder, downloader, reserved)
            unpacked += unpack(archive, folder, reserved)
    return unpacked


@contextlib.contextmanager
def _made(folder: Path) -> Iterator[Path]:
    """A folder that is there; what was made for it goes again where nothing came to lie in it."""
    absent = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made ({error.strerror}); choose another folder") from error
    try:
        yield folder
    except BaseException:
        with contextlib.suppress(OSError):  # not empty: what has come is kept
            for path in absent:
                path.rmdir()
        raise


def _archive(chosen: DataSet, name: str, folder: Path, downloader: ResumingDownloader, reserved: Sequence[str]) -> Path:
    """The archive on disk, checked against its checksum, which is recorded if it is the first."""
    try:
        import pooch
    except ImportError:
        raise InputError("fetch: needs the package pooch; install it: pip install 'msfit[fetch]'") from None
    # its word on every download would come between the lines of the progress bar
    pooch.get_logger().setLevel("WARNING")
    recorded, was_there = _recorded(folder), (folder / name).exists()
    expected = chosen.files[name] or recorded.get(name)
    store = pooch.create(path=folder, base_url=chosen.root, registry={name: expected})
    try:
        path = Path(store.fetch(name, downloader=downloader))
    except InputError as error:
        raise InputError(
            f"{error}; run again to go on, or get {name} from {chosen.page} and put it into {folder.resolve()}"
        ) from error
    except ValueError as error:
        raise InputError(
            f"{chosen.root}{name}: is not the file that was first downloaded: its SHA-256 is not {expected}; fetch "
            f"again, and if it has a reason to differ remove its line from {folder / CHECKSUMS}"
        ) from error
    except OSError as error:
        raise InputError(f"{folder / name}: cannot be written ({error.strerror}); choose another folder") from error
    if expected is None:
        try:
            check_archive(path, reserved)
        except InputError as error:
            if not was_there:
                path.unlink()
            what_next = "replace it by a whole one" if was_there else "it was deleted; fetch again"
            raise InputError(f"{error}: {what_next}, or get {name} from {chosen.page}") from error
        expected = pooch.file_hash(str(path))
    if recorded.get(name) != expected:
        _record(folder, name, expected)
    return path


def _recorded(folder: Path) -> dict[str, str]:
    path = folder / CHECKSUMS
    if not path.exists():
        return {}
    try:
        return {name: str(entry["sha256"]) for name, entry in json.loads(path.read_text("utf-8")).items()}
    except (ValueError, TypeError, KeyError, AttributeError, OSError, RecursionError) as error:
        raise InputError(f"{path}: cannot be understood; delete it to record the checksums anew") from error


def _record(folder: Path, name: str, sha256: str) -> None:
    path = folder / CHECKSUMS
    entries = json.loads(path.read_text("utf-8")) if path.exists() else {}
    entries[name] = {"sha256": sha256, "recorded": datetime.datetime.now(datetime.UTC).date().isoformat()}
    with written_whole(path) as part:
        part.write_text(json.dumps(entries, indent=2) + "\n", "utf-8")
