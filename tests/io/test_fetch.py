"""Downloads from a server on this machine that stalls, truncates, corrupts and refuses."""

from __future__ import annotations

import hashlib
import io
import json
import re
import socket
import stat
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from msfit.cli import main
from msfit.errors import InputError
from msfit.io.datasets import download
from msfit.io.datasets.archive import check_archive, unpack
from msfit.io.datasets.fetch import CHECKSUMS, DataSet, data_set, fetch

pytest.importorskip("pooch")

SCENE = np.random.default_rng(1).bytes(300_000)


def zipped(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


ARCHIVE = zipped(**{"scenes/HiResFemale1.mat": SCENE, "__MACOSX/._x": b"junk", "scenes/": b""})


class Server(ThreadingHTTPServer):
    """Serves one file and misbehaves as told; keeps the Range of every request."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content = ARCHIVE
        self.trouble: list[str] = []
        self.ranges: list[str | None] = []
        self.release = threading.Event()

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"

    def handle_error(self, *_: Any) -> None:
        """A client that has gone is part of these tests."""


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        server, asked = self.server, self.headers.get("Range")
        server.ranges.append(asked)
        trouble = server.trouble.pop(0) if server.trouble else ""
        if trouble.isdigit():
            self.send_error(int(trouble))
            return
        content, start = server.content, 0
        if asked and trouble != "no ranges":
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        rest = content[start:]
        if trouble != "no length":
            self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        if trouble == "corrupt":
            rest = bytes(byte ^ 0xFF for byte in rest)
        if trouble in ("truncate", "stall", "no length"):
            rest = rest[: len(rest) // 2]
        self.wfile.write(rest)
        if trouble == "stall":
            self.wfile.flush()
            server.release.wait(10)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(download.time, "sleep", lambda _: None)
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield running
        running.release.set()
        running.shutdown()


def faces(server: Server, sha256: str | None = None) -> DataSet:
    return DataSet("iset-faces", "faces", "https://example.org/faces", "", server.root, {"faces.zip": sha256})


def get(server: Server, folder: Path, sha256: str | None = None, **options: Any) -> list[Path]:
    return fetch(faces(server, sha256), folder, **{"timeout": 5.0, "insecure": True, **options})


def recorded(folder: Path) -> str:
    return json.loads((folder / CHECKSUMS).read_text())["faces.zip"]["sha256"]


def test_it_is_downloaded_recorded_and_unpacked(server: Server, tmp_path: Path) -> None:
    calls: list[tuple[str, int, int]] = []
    found = get(server, tmp_path / "new", progress=lambda *call: calls.append(call))
    assert found == [tmp_path / "new" / "scenes" / "HiResFemale1.mat"]
    assert found[0].read_bytes() == SCENE
    assert recorded(tmp_path / "new") == hashlib.sha256(ARCHIVE).hexdigest()
    assert calls[-1] == ("faces.zip", len(ARCHIVE), len(ARCHIVE))
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == [CHECKSUMS, "faces.zip", "scenes"]


def test_a_second_run_asks_the_server_nothing(server: Server, tmp_path: Path) -> None:
    get(server, tmp_path)
    get(server, tmp_path)
    assert len(server.ranges) == 1


@pytest.mark.parametrize("trouble", ["truncate", "stall"])
def test_it_goes_on_where_the_connection_broke(server: Server, tmp_path: Path, trouble: str) -> None:
    server.trouble = [trouble]
    found = get(server, tmp_path, timeout=0.3)
    assert found[0].read_bytes() == SCENE
    first, second = server.ranges
    assert first is None
    assert second is not None
    assert len(ARCHIVE) // 2 - download._CHUNK < int(second[6:-1]) <= len(ARCHIVE) // 2


def test_it_goes_on_where_the_last_run_was_interrupted(server: Server, tmp_path: Path) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        get(server, tmp_path, progress=interrupt)
    there = (tmp_path / "faces.zip.part").stat().st_size
    assert 0 < there < len(ARCHIVE)
    assert get(server, tmp_path)[0].read_bytes() == SCENE
    assert server.ranges == [None, f"bytes={there}-"]


def test_a_server_without_ranges_sends_it_all_again(server: Server, tmp_path: Path) -> None:
    server.trouble = ["truncate", "no ranges"]
    assert get(server, tmp_path)[0].read_bytes() == SCENE


@pytest.mark.parametrize("surplus", [b"", b"bytes of something else"])
def test_a_part_that_is_whole_or_too_long(server: Server, tmp_path: Path, surplus: bytes) -> None:
    (tmp_path / "faces.zip.part").write_bytes(ARCHIVE + surplus)
    assert get(server, tmp_path)[0].read_bytes() == SCENE


def test_a_server_in_trouble_is_asked_again(server: Server, tmp_path: Path) -> None:
    server.trouble = ["503", "500"]
    assert get(server, tmp_path)[0].read_bytes() == SCENE


@pytest.mark.parametrize(
    ("trouble", "message"),
    [
        (["404"], "the server answers 404 Not Found"),
        (["403"], "the server answers 403 Forbidden"),
        (["503"] * 4, "the server answers 503"),
    ],
)
def test_a_refusal_names_the_page_and_the_folder(
    server: Server, tmp_path: Path, trouble: list[str], message: str
) -> None:
    server.trouble = list(trouble)
    with pytest.raises(InputError, match=message) as caught:
        get(server, tmp_path)
    assert "get faces.zip from https://example.org/faces and put it into " + str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(server.ranges) == len(trouble)


def test_a_server_that_always_stalls_is_given_up(server: Server, tmp_path: Path) -> None:
    server.trouble = ["stall"] * 10
    server.content = ARCHIVE[:1]
    with pytest.raises(InputError, match="does not answer in time"):
        get(server, tmp_path, timeout=0.2, attempts=2)


def test_without_a_connection_it_says_what_to_do(server: Server, tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{unused.getsockname()[1]}/"
    offline = DataSet("iset-faces", "", "https://example.org/faces", "", closed, {"faces.zip": None})
    with pytest.raises(InputError, match=r"no connection to the server; run again to go on, or get faces.zip from"):
        fetch(offline, tmp_path / "new" / "faces", insecure=True)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "faces.zip").write_bytes(ARCHIVE)
    assert fetch(offline, tmp_path, insecure=True)[0].read_bytes() == SCENE
    assert recorded(tmp_path) == hashlib.sha256(ARCHIVE).hexdigest()


@pytest.mark.parametrize("trouble", ["corrupt", "no length"])
def test_a_damaged_first_download_is_not_recorded(server: Server, tmp_path: Path, trouble: str) -> None:
    server.trouble = [trouble]
    with pytest.raises(InputError, match="not a whole zip archive"):
        get(server, tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert get(server, tmp_path)[0].read_bytes() == SCENE


def test_a_damaged_file_put_there_by_hand_is_kept(server: Server, tmp_path: Path) -> None:
    (tmp_path / "faces.zip").write_bytes(ARCHIVE[:-100])
    with pytest.raises(InputError, match="replace it by a whole one"):
        get(server, tmp_path)
    assert (tmp_path / "faces.zip").exists()


def test_the_first_checksum_is_enforced(server: Server, tmp_path: Path) -> None:
    get(server, tmp_path)
    (tmp_path / "faces.zip").write_bytes(b"changed on the disk")
    get(server, tmp_path)
    assert (tmp_path / "faces.zip").read_bytes() == ARCHIVE
    (tmp_path / "faces.zip").unlink()
    server.content = zipped(**{"scenes/HiResFemale1.mat": b"changed on the server"})
    with pytest.raises(InputError, match="not the file that was first downloaded"):
        get(server, tmp_path)
    assert (tmp_path / "scenes" / "HiResFemale1.mat").read_bytes() == SCENE


def test_a_checksum_of_the_manifest_is_enforced(server: Server, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="SHA-256 is not 0000"):
        get(server, tmp_path, sha256="0" * 64)
    get(server, tmp_path, sha256=hashlib.sha256(ARCHIVE).hexdigest())
    assert recorded(tmp_path) == hashlib.sha256(ARCHIVE).hexdigest()


def test_unreadable_checksums_are_refused(server: Server, tmp_path: Path) -> None:
    (tmp_path / CHECKSUMS).write_text("{broken")
    with pytest.raises(InputError, match="delete it to record the checksums anew"):
        get(server, tmp_path)


def test_a_folder_that_cannot_be_made_is_refused(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be made"):
        get(server, tmp_path / "file" / "below")


@pytest.mark.parametrize(
    "name", ["../evil.mat", "/etc/evil", "scenes/../../evil", "C:/evil", "..\\evil", "\\\\host\\evil"]
)
def test_a_zip_with_a_path_outside_is_refused(tmp_path: Path, name: str) -> None:
    archive = tmp_path / "bad.zip"
    archive.write_bytes(zipped(**{"good.mat": b"good", name: b"evil"}))
    target = tmp_path / "in" / "side"
    target.mkdir(parents=True)
    with pytest.raises(InputError, match=re.escape(f"which would be written outside {target}")):
        unpack(archive, target)
    assert list(target.iterdir()) == []
    assert not (tmp_path / "in" / "evil.mat").exists()
    with pytest.raises(InputError, match="written outside"):  # before its checksum is recorded
        check_archive(archive)


def test_a_zip_with_a_link_is_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(InputError, match="written outside"):
        unpack(tmp_path / "bad.zip", tmp_path)


def test_a_zip_that_does_not_fit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "faces.zip").write_bytes(ARCHIVE)
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10}))
    with pytest.raises(InputError, match=r"has room for 0\.0 GB"):
        unpack(tmp_path / "faces.zip", tmp_path)


def test_a_file_that_was_cut_short_is_unpacked_again(tmp_path: Path) -> None:
    (tmp_path / "faces.zip").write_bytes(ARCHIVE)
    (found,) = unpack(tmp_path / "faces.zip", tmp_path)
    found.write_bytes(b"short")
    unpack(tmp_path / "faces.zip", tmp_path)
    assert found.read_bytes() == SCENE


def test_the_command_fetches_and_refuses(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["fetch", "iset-faces", "--mirror", server.root, "--insecure", "-o", str(tmp_path / "faces")]
    assert main(arguments) == 0
    assert "6 files of ISET hyperspectral scenes" in capsys.readouterr().out
    assert len(list((tmp_path / "faces").glob("*.zip"))) == len(server.ranges) == 6
    server.trouble = ["403"]
    (tmp_path / "faces" / "ISET_hiresmale_9_12.zip").unlink()
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "https://purl.stanford.edu/jj361kc0271" in said.err


@pytest.mark.parametrize("mirror", ["", "host", "htp://host/", "/folder", "https://"])
def test_a_mirror_that_is_no_server_is_refused(mirror: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch", "iset-faces", "--mirror", mirror, "-o", str(tmp_path / "faces")]) == 2
    assert capsys.readouterr().err.startswith(
        f"msfit: error: --mirror: found {mirror!r}; expected the address of a server"
    )
    assert list(tmp_path.iterdir()) == []


def test_the_manifest_of_the_iset_faces() -> None:
    faces = data_set("iset-faces")
    assert len(faces.files) == 6
    assert faces.page == "https://purl.stanford.edu/jj361kc0271"
    assert faces.root.endswith("druid:jj361kc0271/")
    with pytest.raises(InputError, match="expected one of iset-faces, iset-faces-3m"):
        data_set("iset")


def test_the_manifest_of_the_iset_faces_at_three_metres() -> None:
    faces = data_set("iset-faces-3m")
    assert len(faces.files) == 6
    assert faces.page == "https://purl.stanford.edu/rr512xk8301"
    assert faces.root == "https://stacks.stanford.edu/file/druid:rr512xk8301/"
    assert all(name.startswith("ISET_lores") for name in faces.files)


def test_servers_without_encryption_are_asked_when_that_is_allowed_alone(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError, match=r"is not encrypted; expected https, or --insecure \(insecure=True\)"):
        get(server, tmp_path / "faces", insecure=False)
    assert main(["fetch", "iset-faces-3m", "--mirror", server.root, "-o", str(tmp_path / "faces")]) == 2
    assert "is not encrypted" in capsys.readouterr().err
    assert (server.ranges, list(tmp_path.iterdir())) == ([], [])
    # nor where the server refers to one
    downloader = download.ResumingDownloader(tmp_path / "a.part", insecure=False)
    with pytest.raises(InputError, match=r"refers to http://127.*which is not encrypted"):
        downloader(server.root, tmp_path / "a")


@pytest.mark.parametrize("name", [CHECKSUMS, "Checksums.JSON", "faces.zip", "faces.zip.part"])
def test_an_archive_cannot_replace_its_own_record(server: Server, tmp_path: Path, name: str) -> None:
    get(server, tmp_path)
    before = (tmp_path / CHECKSUMS).read_text()
    (tmp_path / "faces.zip").unlink()
    server.content = zipped(**{"good.mat": b"good", name: b"{}"})
    (tmp_path / CHECKSUMS).write_text("{}")  # as at a first download
    with pytest.raises(InputError, match="stands for something else there; nothing was unpacked"):
        get(server, tmp_path)
    assert (tmp_path / CHECKSUMS).read_text() == "{}" != before
    assert not (tmp_path / "good.mat").exists()


@pytest.mark.parametrize("name", ["a" * 300 + ".mat", "é" * 200, "folder/" + "b" * 256 + "/c"])
def test_names_that_no_file_system_takes_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "faces.zip").write_bytes(zipped(**{name: b"1"}))
    with pytest.raises(InputError, match="holds a name of more than 255 bytes"):
        unpack(tmp_path / "faces.zip", tmp_path)


@pytest.mark.parametrize("names", [("a", "./a"), ("a", "a/b")])
def test_members_of_one_name_are_refused(tmp_path: Path, names: tuple[str, str]) -> None:
    (tmp_path / "faces.zip").write_bytes(zipped(**dict.fromkeys(names, b"1")))
    with pytest.raises(InputError, match="two members of one name"):
        unpack(tmp_path / "faces.zip", tmp_path / "new")


def test_a_file_in_the_way_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "faces.zip").write_bytes(ARCHIVE)
    (tmp_path / "scenes").write_text("")
    with pytest.raises(InputError, match="cannot be unpacked into"):
        unpack(tmp_path / "faces.zip", tmp_path)
