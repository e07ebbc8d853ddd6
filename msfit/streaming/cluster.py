"""Work handed to the workers of a running dask.distributed cluster, and results as they come."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from msfit.errors import InputError, said
from msfit.io.extras import need

_TIMEOUT = 5  # s, to find the scheduler and its first worker
_IMPORT = 60  # s, in which a worker that is idle has loaded what it needs
_ALONE = 30  # s without any worker, until a run is given up
_LOOK = 1  # s between looks at the workers
_SILENT = 60  # s without a word from a scheduler, or from a worker to it, until it counts as gone
_RETRIES = 3
_BROKE = "the connection broke"
_AHEAD = 2  # tasks a thread, so that none waits for the next

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class _NoWorkerError(Exception):
    pass


@dataclass(frozen=True)
class Cluster:
    """The workers behind a scheduler.

    Attributes
    ----------
    address : str
        Of the scheduler.
    client : distributed.Client
    heard : mapping
        When each worker last reported to the scheduler, by its clock, and when that was noticed, by ours.
    """

    address: str
    client: Any
    heard: dict[str, tuple[float, float]] = field(default_factory=dict)

    def threads(self) -> list[int]:
        """Number of threads of each worker."""
        return [worker["nthreads"] for worker in self._workers().values()]

    @property
    def _connected(self) -> bool:
        """Whether there is a connection, be it that nobody answers: one that breaks may be told by silence alone."""
        return bool(self.client.status == "running")

    def _workers(self) -> dict[str, Any]:
        """What the scheduler knows of each worker, by its address."""
        if not self._connected:
            raise self._lost(_BROKE)
        try:
            return dict(self._ask("identity", n_workers=-1)["workers"])
        except TimeoutError:
            raise self._lost(f"no answer for {_SILENT} s" if self._connected else _BROKE) from None
        except (OSError, KeyError, AttributeError):  # of which it knows nothing any more
            raise self._lost(_BROKE) from None

    def _ask(self, what: str, **arguments: Any) -> Any:
        """The scheduler's answer, for which it has a minute: one that is stopped keeps its connections."""
        return self.client.sync(lambda: getattr(self.client.scheduler, what)(**arguments), callback_timeout=_SILENT)

    def _lost(self, why: str) -> InputError:
        return InputError(f"scheduler {self.address}: lost ({why}); what is done is kept: run again with another")

    def _silent(self) -> tuple[set[str], set[str]]:
        """Workers that report, and those that have not for a minute, by their addresses."""
        now, workers = time.monotonic(), self._workers()
        for address, worker in workers.items():
            if self.heard.get(address, (None, now))[0] != worker["last_seen"]:
                self.heard[address] = worker["last_seen"], now
        silent = {address for address in workers if now - self.heard[address][1] > _SILENT}
        return set(workers) - silent, silent

    def map(
        self, function: Callable[[_Item], _Result], items: Iterator[_Item]
    ) -> Generator[tuple[_Item, _Result], None, None]:
        """Items with their results, in the order in which they are done; few items wait at a time.

        A task whose worker dies, or that fails, is given to another worker, up to three times. The first task of each
        machine runs there alone: what it compiles lies on disk for the machine's other workers, who would else each
        compile it, not to the same last digit.

        Raises
        ------
        InputError
            What the function raises in a worker; workers that die one after the other, lack msfit, or are all gone for
            half a minute; a scheduler that is gone, or says nothing for a minute. The blocks of a worker that reports
            nothing for a minute are given to others.
        """
        distributed = need("distributed", "cluster")
        running: dict[Any, _Item] = {}
        done = distributed.as_completed(loop=self.client.loop)

        def submit(count: int, **where: Any) -> None:
            for _, item in zip(range(count), items, strict=False):
                future = self.client.submit(function, item, retries=_RETRIES, pure=False, **where)
                running[future] = item
                done.add(future)

        try:
            self._load()
            hosts = {worker["host"]: address for address, worker in self._workers().items()}
            for address in hosts.values():
                submit(1, workers=[address], allow_other_workers=True)
            if not hosts:
                raise _NoWorkerError(f"has no worker; start some (dask worker {self.address}) and run again")
            compiling = True
            for future in self._arriving(done, running, function):
                if future not in running:  # another has done the same
                    continue
                item = running[future]
                try:
                    found = future.result(timeout=_SILENT)
                except TimeoutError:  # its worker has stopped with the result in its memory
                    self._anew(future, done, running, function)
                    continue
                for same in [other for other, its in running.items() if its is item]:
                    del running[same]
                yield item, found
                if not compiling:
                    submit(1)
                elif not running:
                    compiling = False
                    submit(_AHEAD * max(1, sum(self.threads())))
        except _NoWorkerError as error:
            raise InputError(f"scheduler {self.address}: {error}") from None
        except InputError as error:
            if str(error).startswith(f"scheduler {self.address}: "):
                raise
            raise InputError(f"scheduler {self.address}: a worker says: {error}") from None
        except distributed.scheduler.KilledWorker:
            raise InputError(
                f"scheduler {self.address}: a block of rows ended several workers, one after the other; expected"
                " workers with memory enough: lower memory, or give them more"
            ) from None
        except (ImportError, AttributeError) as error:
            raise InputError(
                f"scheduler {self.address}: a worker lacks what it needs ({said(error)}); expected the same msfit there"
            ) from None
        except (distributed.CancelledError, distributed.comm.CommClosedError, TimeoutError, OSError) as error:
            broke = isinstance(error, distributed.CancelledError) or not self._connected
            raise self._lost(_BROKE if broke else said(error)) from None
        finally:
            with contextlib.suppress(Exception):  # a scheduler that is gone cancels nothing
                self.client.cancel(list(running))

    def _load(self) -> None:
        """Have each worker import msfit: one that cannot would die of the first task, and say nothing."""
        loading = [
            self.client.submit(exec, "import msfit.streaming.fit_file", workers=[address], pure=False)
            for address in self._workers()
        ]
        for future in loading:
            with contextlib.suppress(TimeoutError):  # it has other work to do
                future.result(timeout=_IMPORT)

    def _arriving(self, done: Any, running: dict[Any, Any], function: Callable[[Any], Any]) -> Iterator[Any]:
        """Futures as they are done, while items are running; tasks without a worker would wait for ever."""
        seen = looked = time.monotonic()
        given_up: set[str] = set()
        while running:
            if done.has_ready():
                yield next(done)
                seen = time.monotonic()
                continue
            time.sleep(0.01)
            if (now := time.monotonic()) - looked < _LOOK:
                continue
            looked = now
            reporting, silent = self._silent()
            if reporting and silent - given_up:
                self._give_to_others(silent - given_up, reporting, done, running, function)
                given_up |= silent
            if reporting:
                seen = now
            elif now - seen > _ALONE:
                raise _NoWorkerError(
                    f"has had no worker for {_ALONE} s; what is done is kept: start some (dask worker {self.address})"
                    " and run again"
                )

    def _anew(self, future: Any, done: Any, running: dict[Any, Any], function: Callable[[Any], Any]) -> None:
        """Have workers that do not hold a result, which cannot be fetched, do its task once more."""
        holders = {address for held in self.client.who_has([future]).values() for address in held}
        if not (others := sorted(set(self._workers()) - holders)):
            raise _NoWorkerError(f"has had no worker for {_SILENT} s; what is done is kept: run again with others")
        again = self.client.submit(function, running[future], retries=_RETRIES, pure=False, workers=others)
        running[again] = running.pop(future)
        done.add(again)

    def _give_to_others(
        self, silent: set[str], reporting: set[str], done: Any, running: dict[Any, Any], function: Callable[[Any], Any]
    ) -> None:
        """Have other workers do once more what silent ones are at; whoever is first counts."""
        held = self._ask("processing", workers=list(silent))
        keys = {str(key) for tasks in held.values() for key in tasks}
        for future, item in list(running.items()):
            if future.key in keys:
                again = self.client.submit(function, item, retries=_RETRIES, pure=False, workers=list(reporting))
                running[again] = item
                done.add(again)


def check_address(address: str) -> None:
    """Refuse what is no address of a scheduler, before any work begins."""
    if not isinstance(address, str) or not address.strip():
        raise InputError(
            f"scheduler: found {address!r}; expected the address of a running dask scheduler, such as tcp://host:8786"
        )


@contextlib.contextmanager
def connected(address: str) -> Iterator[Cluster]:
    """A cluster to work with.

    Parameters
    ----------
    address : str
        Of its scheduler, such as "tcp://host:8786".

    Raises
    ------
    InputError
        Nothing answers there within 5 seconds, or no worker does.
    """
    distributed = need("distributed", "cluster")
    with _quiet():
        yield from _connected(distributed, address)


def _connected(distributed: Any, address: str) -> Iterator[Cluster]:
    client = distributed.Client.__new__(distributed.Client)
    try:
        client.__init__(address, timeout=_TIMEOUT, set_as_default=False)
    except Exception as error:  # what listens there may be anything, and answer with anything
        client.status = "closed"  # or it would try to say goodbye, and complain that nobody answers
        raise InputError(
            f"scheduler: {address!r} does not answer ({said(error)}); expected the address of a running dask scheduler,"
            " such as tcp://host:8786"
        ) from None
    try:
        try:
            client.wait_for_workers(1, timeout=_TIMEOUT)
        except TimeoutError:
            raise InputError(f"scheduler {address}: has no workers; start some: dask worker {address}") from None
        yield Cluster(address, client)
    finally:
        with contextlib.suppress(Exception):
            client.close(timeout=_TIMEOUT)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the reports of distributed, which has a level for each of its loggers: what matters is raised."""
    names = [name for name in logging.root.manager.loggerDict if name.split(".")[0] == "distributed"]
    levels = {logger: logger.level for logger in map(logging.getLogger, names)}
    try:
        for logger in levels:
            logger.setLevel(logging.CRITICAL)
        yield
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)
