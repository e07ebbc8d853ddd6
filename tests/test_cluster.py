"""On a cluster: the maps of one process, to the bit, also when a worker dies; clear words where there is no cluster."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import distributed
import h5py
import numpy as np
import pytest
import torch

import msfit
from msfit.errors import InputError
from msfit.fitting.options import FitOptions
from msfit.streaming import fit_file as streaming
from msfit.streaming.cluster import Cluster, connected
from msfit.streaming.job import Recipe

NM = np.arange(400.0, 701.0, 10.0)
H, W = 24, 20
MODEL = "alotaibi-smith-2019"
MAPS = ("f_mel", "f_blood", "i_d", "i_s", "rmse", "status")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(5)
    values = rng.uniform(0.4, 1.0, (H, W, 1)) * msfit.reflectance(
        rng.uniform(0.02, 0.4, (H, W)), rng.uniform(0.004, 0.06, (H, W)), NM, model="alotaibi-smith-2019"
    )
    path = tmp_path_factory.mktemp("scene") / "scene.h5"
    with h5py.File(path, "w") as file:
        noise = 0.002 * rng.standard_normal(values.shape)
        file.create_dataset("reflectance", data=(values + noise).astype(np.float32), chunks=(2, W, 31))
        file["wavelength"] = NM
    return path


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Two workers inside this process: quick, but they cannot be killed."""
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": False, "dashboard_address": ":0"}
    with distributed.LocalCluster(**options, protocol="tcp") as inside:
        yield inside.scheduler_address


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "CHUNK", 2 * W)


def assert_same(one: msfit.FitResult, other: msfit.FitResult) -> None:
    for name in MAPS:
        assert np.asarray(getattr(one, name)).tobytes() == np.asarray(getattr(other, name)).tobytes(), name


def test_maps_of_two_workers_are_those_of_one_process(scene: Path, tmp_path: Path, cluster: str) -> None:
    mask = np.arange(H * W).reshape(H, W) % 7 > 0
    options = {"model": MODEL, "memory": "8GiB", "mask": mask, "std": True}
    alone = msfit.fit_file(scene, tmp_path / "alone.h5", **options)
    together = msfit.fit_file(scene, tmp_path / "together.h5", scheduler=cluster, **options)
    assert_same(together, alone)
    assert together.counts() == alone.counts()


def test_a_machines_first_task_runs_alone(cluster: str) -> None:
    def when(item: int) -> tuple[float, float]:
        begun = time.monotonic()
        time.sleep(0.2 if item == 0 else 0)
        return begun, time.monotonic()

    with connected(cluster) as workers:
        found = dict(workers.map(when, iter(range(8))))
    assert sorted(found) == list(range(8))
    assert all(begun >= found[0][1] for begun, _ in list(found.values())[1:])


def test_an_interrupted_run_goes_on_with_or_without_the_cluster(scene: Path, tmp_path: Path, cluster: str) -> None:
    def interrupt(done: int, total: int) -> None:
        if done > total / 3:
            raise KeyboardInterrupt

    output = tmp_path / "maps.h5"
    for scheduler in (cluster, None):
        with pytest.raises(KeyboardInterrupt):
            msfit.fit_file(scene, output, model=MODEL, memory="8GiB", scheduler=scheduler, progress=interrupt)
    resumed = msfit.fit_file(scene, output, model=MODEL, memory="8GiB", scheduler=cluster)
    assert_same(resumed, msfit.fit(msfit.load(scene), model=MODEL))


def test_a_model_of_ones_own_goes_along(scene: Path, tmp_path: Path, cluster: str) -> None:
    def reflectance(f_mel: torch.Tensor, f_blood: torch.Tensor, nm: torch.Tensor) -> torch.Tensor:
        return torch.exp(-f_mel * (500 / nm) ** 3 - 20 * f_blood * (nm < 600))

    model = msfit.register_model("of one's own", reflectance, wavelength_range=(400, 700))
    options = {"model": "of one's own", "memory": "8GiB"}
    together = msfit.fit_file(scene, tmp_path / "together.h5", scheduler=cluster, **options)
    assert_same(together, msfit.fit(msfit.load(scene), model="of one's own"))
    assert model is None or together.model == "of one's own"


def test_few_blocks_wait_at_a_time(cluster: str) -> None:
    asked: list[int] = []

    def items() -> Iterator[int]:
        for number in range(40):
            asked.append(number)
            yield number

    with connected(cluster) as workers:
        found = {}
        for item, result in workers.map(lambda number: number**2, items()):
            found[item] = result
            assert len(asked) - len(found) <= 2 * 2 + 1
    assert found == {number: number**2 for number in range(40)}


def test_a_result_that_cannot_be_fetched_is_made_anew(cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched, stuck = distributed.Future.result, []

    def result(future: Any, timeout: float | None = None) -> Any:
        if not stuck and isinstance(value := fetched(future, timeout), int):
            stuck.append(value)
            raise TimeoutError  # as where the worker that holds it was stopped
        return fetched(future, timeout)

    monkeypatch.setattr(distributed.Future, "result", result)
    with connected(cluster) as workers:
        found = dict(workers.map(lambda number: number**2, iter(range(8))))
    assert found == {number: number**2 for number in range(8)}
    assert stuck


def test_what_a_worker_refuses_is_said_in_one_line(scene: Path, tmp_path: Path, cluster: str) -> None:
    recipe = Recipe.of(scene, {"memory": 2**33}, FitOptions(model=MODEL))
    settings = json.loads(json.dumps(recipe.settings(recipe.prepare(None))))
    elsewhere = replace(recipe, path=tmp_path / "scene.h5")
    with pytest.raises(InputError, match="no such file there; expected one that all workers see"):
        streaming.fit_remotely(elsewhere, settings, 2**27, (0, 1, None))
    with pytest.raises(InputError, match="has another source there"):
        streaming.fit_remotely(recipe, settings | {"source": [[1, 2]]}, 2**27, (0, 1, None))

    def refuse(_: int) -> int:
        raise InputError("no such file")

    with connected(cluster) as workers, pytest.raises(InputError, match=r"^scheduler tcp:.* a worker says: no such"):
        list(workers.map(refuse, iter([1])))


def test_an_unreachable_scheduler_is_said_within_seconds(
    scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("msfit.streaming.cluster._TIMEOUT", 0.5)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{nobody.getsockname()[1]}"
        for wrong in (address, "nowhere", "tcp://", "tcp://127.0.0.1:1"):
            began = time.monotonic()
            with pytest.raises(InputError, match=r"^scheduler: .* does not answer .*such as tcp://host:8786"):
                msfit.fit_file(scene, tmp_path / "maps.h5", model=MODEL, memory="8GiB", scheduler=wrong)
            assert time.monotonic() - began < 20
    assert not list(tmp_path.iterdir())
    assert capsys.readouterr().err == ""


def test_a_scheduler_without_workers_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("msfit.streaming.cluster._TIMEOUT", 1)
    empty = {"n_workers": 0, "processes": False, "dashboard_address": ":0", "protocol": "tcp"}
    with (
        distributed.LocalCluster(**empty) as inside,
        pytest.raises(InputError, match="has no workers; start some: dask worker"),
        connected(inside.scheduler_address),
    ):
        pass


def test_tasks_without_a_worker_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("msfit.streaming.cluster._ALONE", 1)
    monkeypatch.setattr("msfit.streaming.cluster._LOOK", 0.1)
    options = {"n_workers": 1, "threads_per_worker": 1, "processes": False, "dashboard_address": ":0"}
    with distributed.LocalCluster(**options, protocol="tcp") as inside, connected(inside.scheduler_address) as workers:
        results = workers.map(lambda number: number, iter(range(2)))
        assert next(results) == (0, 0)
        inside.scale(0)
        with pytest.raises(InputError, match=r"^scheduler tcp:.* has had no worker for 1 s; what is done is kept"):
            list(results)


@contextlib.contextmanager
def processes(folder: Path, where: Path | None = None) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A scheduler and two workers of one thread, each a process: its address, the workers, who import there, and it."""
    contact = folder / "contact.json"
    root = str(where or Path(msfit.__file__).parents[1])

    def start(what: str, *options: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"distributed.cli.dask_{what}", "--host", "127.0.0.1", "--no-dashboard"]
        quiet, environment = subprocess.DEVNULL, {**os.environ, "PYTHONPATH": root}
        return subprocess.Popen([*command, *options], cwd=folder, env=environment, stdout=quiet, stderr=quiet)

    started = [start("scheduler", "--port", "0", "--scheduler-file", str(contact))]
    try:
        started += [start("worker", "--scheduler-file", str(contact), "--nthreads", "1", "--no-nanny") for _ in "ab"]
        while not contact.exists() or not (text := contact.read_text()):
            time.sleep(0.05)
        address = json.loads(text)["address"]
        with distributed.Client(address, set_as_default=False, timeout=60) as client:
            client.wait_for_workers(2, timeout=60)
        yield address, [*started[1:], started[0]]
    finally:
        for process in started:
            process.kill()
            process.wait()


@pytest.mark.slow
def test_a_worker_that_is_killed_in_mid_run_changes_no_bit(scene: Path, tmp_path: Path) -> None:
    with processes(tmp_path) as (address, workers):

        def kill_one(done: int, total: int) -> None:
            if done >= total / 3:
                workers[0].kill()

        options = {"model": MODEL, "memory": "8GiB", "scheduler": address, "progress": kill_one}
        result = msfit.fit_file(scene, tmp_path / "maps.h5", **options)
        assert workers[0].wait(timeout=10) != 0
        assert workers[1].poll() is None
    assert_same(result, msfit.fit(msfit.load(scene), model=MODEL))


@pytest.mark.slow
def test_a_cluster_that_is_lost_leaves_what_was_done(scene: Path, tmp_path: Path) -> None:
    output = tmp_path / "maps.h5"
    with processes(tmp_path) as (address, workers):

        def kill_all(done: int, total: int) -> None:
            if done >= total / 3:
                for worker in workers:
                    worker.kill()
                raise KeyboardInterrupt

        options = {"model": MODEL, "memory": "8GiB"}
        with pytest.raises(KeyboardInterrupt):
            msfit.fit_file(scene, output, scheduler=address, progress=kill_all, **options)
    with pytest.raises(InputError, match="does not answer"):
        msfit.fit_file(scene, output, scheduler=address, **options)
    said: list[str] = []
    assert_same(msfit.fit_file(scene, output, tell=said.append, **options), msfit.fit(msfit.load(scene), model=MODEL))
    assert said[0].startswith("going on with maps.h5.part")


@pytest.mark.slow
def test_workers_that_cannot_import_msfit_are_said_not_waited_for(scene: Path, tmp_path: Path) -> None:
    (tmp_path / "msfit").mkdir()
    (tmp_path / "msfit" / "__init__.py").write_text('raise ImportError("none here")')
    with (
        processes(tmp_path, tmp_path) as (address, _),
        pytest.raises(InputError, match=r"a worker lacks what it needs \(none here\); expected the same msfit there"),
    ):
        msfit.fit_file(scene, tmp_path / "maps.h5", model=MODEL, memory="8GiB", scheduler=address)


LOST = """
import os, signal, sys, msfit
from msfit.streaming import fit_file as streaming
streaming.CHUNK = 20
scene, output, address, scheduler = sys.argv[1:]
def kill(done, total):
    if done > total / 3:
        os.kill(int(scheduler), signal.SIGKILL)
try:
    msfit.fit_file(scene, output, memory="8GiB", huber=0.003, scheduler=address, progress=kill)
except msfit.InputError as error:
    print(error)
"""


@pytest.mark.slow
def test_a_scheduler_that_is_lost_in_mid_run_is_one_line(scene: Path, tmp_path: Path) -> None:
    output = tmp_path / "maps.h5"
    with processes(tmp_path) as (address, others):
        command = [sys.executable, "-c", LOST, str(scene), str(output), address, str(others[-1].pid)]
        run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert run.stderr == ""
    assert run.stdout.endswith("lost (the connection broke); what is done is kept: run again with another\n")
    assert output.with_name("maps.h5.part").exists()


# --- what goes wrong in mid-run, with the scheduler and the workers as processes of their own ------------------------


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence counts after seconds."""
    monkeypatch.setattr("msfit.streaming.cluster._SILENT", 4)
    monkeypatch.setattr("msfit.streaming.cluster._ALONE", 3)
    monkeypatch.setattr("msfit.streaming.cluster._LOOK", 0.2)


def goes_on(scene: Path, output: Path, **options: Any) -> None:
    """The same command gives the maps of a fit in memory, to the bit, and leaves no part behind."""
    result = msfit.fit_file(scene, output, model=MODEL, memory="8GiB", **options)
    assert_same(result, msfit.fit(msfit.load(scene), model=MODEL))
    assert not output.with_name(output.name + ".part").exists()


def refused(scene: Path, output: Path, match: str, **options: Any) -> None:
    """One line, within a minute; no result."""
    began = time.monotonic()
    with pytest.raises(InputError, match=match) as caught:
        msfit.fit_file(scene, output, model=MODEL, memory="8GiB", **options)
    assert "\n" not in str(caught.value)
    assert time.monotonic() - began < 60
    assert not output.exists()


@pytest.mark.parametrize(("status", "why"), [("running", "no answer for 60 s"), ("connecting", "the connection broke")])
def test_silence_is_told_from_a_broken_connection(status: str, why: str) -> None:
    """On a busy machine a scheduler that was killed is found by a question that nobody answers."""

    def unanswered(*_: Any, **__: Any) -> None:
        cluster.client.status = status
        raise TimeoutError

    cluster = Cluster("tcp://nowhere:1", SimpleNamespace(status="running", sync=unanswered))
    with pytest.raises(InputError, match=rf"^scheduler tcp://nowhere:1: lost \({why}\); what is done is kept"):
        cluster.threads()


@pytest.mark.slow
@pytest.mark.usefixtures("impatient")
def test_a_frozen_worker_is_worked_around(scene: Path, tmp_path: Path) -> None:
    with processes(tmp_path) as (address, others):

        def freeze(done: int, total: int) -> None:
            if done >= total / 3:
                others[0].send_signal(signal.SIGSTOP)

        goes_on(scene, tmp_path / "maps.h5", scheduler=address, progress=freeze)
        assert others[0].poll() is None  # not killed by anybody


@pytest.mark.slow
@pytest.mark.usefixtures("impatient")
def test_frozen_workers_alone_are_no_workers(scene: Path, tmp_path: Path) -> None:
    with processes(tmp_path) as (address, others):

        def freeze(done: int, total: int) -> None:
            for worker in others[:-1]:
                worker.send_signal(signal.SIGSTOP)

        refused(scene, tmp_path / "maps.h5", "has had no worker for 3 s", scheduler=address, progress=freeze)
        for worker in others[:-1]:
            worker.send_signal(signal.SIGCONT)
        goes_on(scene, tmp_path / "maps.h5", scheduler=address)


@pytest.mark.slow
@pytest.mark.usefixtures("impatient")
def test_a_frozen_scheduler_is_given_up(scene: Path, tmp_path: Path) -> None:
    with processes(tmp_path) as (address, others):

        def freeze(done: int, total: int) -> None:
            if done >= total / 3:
                others[-1].send_signal(signal.SIGSTOP)

        refused(scene, tmp_path / "maps.h5", r"lost \(no answer for 4 s\)", scheduler=address, progress=freeze)
        others[-1].send_signal(signal.SIGCONT)
        goes_on(scene, tmp_path / "maps.h5", scheduler=address)


@pytest.mark.slow
@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("when", ["before", "before the first block", "at the first block", "after the first block"])
def test_a_scheduler_that_is_killed(scene: Path, tmp_path: Path, when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with processes(tmp_path) as (address, others):

        def kill(*_: Any) -> None:
            others[-1].kill()
            others[-1].wait()

        load = Cluster._load
        if when == "before":
            kill()
        elif when == "before the first block":
            monkeypatch.setattr(Cluster, "_load", kill)
        elif when == "at the first block":
            monkeypatch.setattr(Cluster, "_load", lambda self: (load(self), threading.Timer(0.05, kill).start()))
        progress = kill if when == "after the first block" else None
        match = r"does not answer" if when == "before" else r"^scheduler tcp:.* lost \(the connection broke\)"
        refused(scene, tmp_path / "maps.h5", match, scheduler=address, progress=progress)
    monkeypatch.setattr(Cluster, "_load", load)
    goes_on(scene, tmp_path / "maps.h5")


CLIENT = """
import sys, time, msfit
from msfit.streaming import fit_file as streaming
streaming.CHUNK = 40
def tell(done, total):
    print(done, flush=True)
    time.sleep(0.2)
scene, output, address = sys.argv[1:]
msfit.fit_file(scene, output, model="alotaibi-smith-2019", memory="8GiB", scheduler=address, progress=tell)
"""


@pytest.mark.slow
def test_a_client_that_is_killed_goes_on(scene: Path, tmp_path: Path) -> None:
    output = tmp_path / "maps.h5"
    with processes(tmp_path) as (address, _):
        command = [sys.executable, "-c", CLIENT, str(scene), str(output), address]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as client:
            assert client.stdout is not None
            for _line in range(3):
                client.stdout.readline()
            client.kill()
        assert output.with_name("maps.h5.part").exists()
        said: list[str] = []
        goes_on(scene, output, scheduler=address, tell=said.append)
    assert said[0].startswith("going on with maps.h5.part")


@pytest.mark.slow
@pytest.mark.usefixtures("impatient")
def test_an_input_that_changes_in_mid_run(scene: Path, tmp_path: Path) -> None:
    copy = tmp_path / "scene.h5"
    copy.write_bytes(scene.read_bytes())
    with processes(tmp_path) as (address, _):

        def change(done: int, total: int) -> None:
            if done < total / 2:
                os.utime(copy, (1, 1))

        match = "was changed while it was being fitted|has another source there"
        refused(copy, tmp_path / "maps.h5", match, scheduler=address, progress=change)
        part = tmp_path / "maps.h5.part"
        part.unlink(missing_ok=True)  # that of a file of another date, which a second run refuses by name
        goes_on(copy, tmp_path / "maps.h5", scheduler=address)


@pytest.mark.slow
@pytest.mark.usefixtures("impatient")
def test_workers_that_are_all_killed(scene: Path, tmp_path: Path) -> None:
    with processes(tmp_path) as (address, others):

        def kill(done: int, total: int) -> None:
            for worker in others[:-1]:
                worker.kill()

        match = "has had no worker for 3 s|ended several workers"
        refused(scene, tmp_path / "maps.h5", match, scheduler=address, progress=kill)
    goes_on(scene, tmp_path / "maps.h5")
