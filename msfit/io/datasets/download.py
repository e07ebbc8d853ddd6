"""Downloads over HTTP that go on where they were broken off: a downloader for pooch."""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msfit.errors import InputError

Progress = Callable[[int, int], None]
# A connection that breaks loses what has come of the last chunk, so it is small.
_CHUNK = 1 << 14
_OK, _PARTIAL, _RANGE_NOT_SATISFIABLE, _SERVER_ERROR = 200, 206, 416, 500


@dataclass
class ResumingDownloader:
    """Call it as pooch does; what has come is kept in `part` until the file is whole.

    Attributes
    ----------
    part : Path
        Where bytes are collected. A later call asks the server only for the rest.
    progress : callable, optional
        Gets the bytes that are there and the bytes there will be (0 where the server does not say).
    timeout : float
        Seconds without a byte after which a connection counts as broken.
    attempts : int
        Connections in a row that may bring nothing new before it gives up.
    pause : float
        Seconds to wait after such a connection, times their number.
    insecure : bool
        Whether a server may refer to an address without encryption.
    """

    part: Path
    progress: Progress | None = None
    timeout: float = 30.0
    attempts: int = 4
    pause: float = 1.0
    insecure: bool = True

    def __call__(self, url: str, output_file: Any, pooch: Any = None, check_only: bool = False) -> bool | None:
        """Download `url` to the path `output_file`.

        Raises
        ------
        InputError
            The server cannot be reached, refuses, or breaks off too often; the disk is full.
        """
        import requests

        if check_only:
            return bool(requests.head(url, timeout=self.timeout, allow_redirects=True).ok)
        fruitless, reason = 0, ""
        while fruitless < self.attempts:
            before = self._size()
            try:
                if self._fetch_rest(url):
                    os.replace(self.part, output_file)
                    return None
                reason = "it sent less than it had announced"
            except requests.RequestException as error:
                reason = _in_words(error)
            fruitless = 0 if self._size() > before else fruitless + 1
            if fruitless < self.attempts:
                time.sleep(self.pause * fruitless)
        raise InputError(f"{url}: cannot be downloaded: {reason}")

    def _size(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _fetch_rest(self, url: str) -> bool:
        """One connection; True when the file is whole."""
        import requests

        there = self._size()
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={there}-"} if there else {})
        with requests.get(url, headers=headers, stream=True, timeout=self.timeout) as response:
            if not self.insecure and not response.url.lower().startswith("https://"):
                raise InputError(f"{url}: refers to {response.url}, which is not encrypted; allow it with --insecure")
            if response.status_code == _RANGE_NOT_SATISFIABLE:
                if _total(response.headers) == there:
                    return True
                self.part.unlink(missing_ok=True)
                return False
            if response.status_code >= _SERVER_ERROR:
                response.raise_for_status()
            if response.status_code not in (_OK, _PARTIAL):
                raise InputError(f"{url}: the server answers {response.status_code} {response.reason}")
            resumed = response.status_code == _PARTIAL and _start(response.headers) == there
            if response.status_code == _PARTIAL and not resumed:
                self.part.unlink(missing_ok=True)
                return False
            there = there if resumed else 0
            total = _total(response.headers) or there + int(response.headers.get("Content-Length") or 0)
            with self.part.open("ab" if resumed else "wb", buffering=0) as file:
                for chunk in response.iter_content(_CHUNK):
                    self._write(file, chunk)
                    there += len(chunk)
                    if self.progress is not None:
                        self.progress(there, total)
        return there == total or total == 0

    def _write(self, file: Any, chunk: bytes) -> None:
        try:
            # unbuffered: a disk that fills up takes a part of a chunk before it refuses
            if file.write(chunk) != len(chunk):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise InputError(
                    f"{self.part.parent}: the disk is full; make room and run again: what has come is kept"
                ) from error
            raise InputError(f"{self.part}: cannot be written ({error.strerror})") from error


def _start(headers: Any) -> int:
    found = re.match(r"bytes (\d+)-", headers.get("Content-Range", ""))
    return int(found[1]) if found else -1


def _total(headers: Any) -> int:
    found = re.search(r"/(\d+)$", headers.get("Content-Range", ""))
    return int(found[1]) if found else 0


def _in_words(error: Exception) -> str:
    import requests

    if isinstance(error, requests.Timeout) or "timed out" in str(error):
        return "the server does not answer in time"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke off"
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server answers {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.ConnectionError):
        return "no connection to the server"
    return str(error).splitlines()[0]
