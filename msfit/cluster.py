"""Work handed to the workers of a running dask.distributed cluster, and results as they come."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from msfit.errors import InputError, said
from msfit.io.extras import need

_TIMEOUT = 5  # s, to find the scheduler and its first worker
_RETRIES = 3
_AHEAD = 2  # tasks a thread, so that none waits for the next

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Cluster:
    """The workers behind a scheduler.

    Attributes
    ----------
    address : str
        Of the scheduler.
    client : distributed.Client
    """

    address: str
    client: Any

    def threads(self) -> list[int]:
        """Number of threads of each worker."""
        return [worker["nthreads"] for worker in self._workers().values()]

    def _workers(self) -> dict[str, Any]:
        """What the scheduler knows of each worker, by its address."""
        return self.client.scheduler_info(n_workers=-1)["workers"]

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
            What the function raises in a worker; workers that die one after the other, or lack msfit; a scheduler that
            is gone.
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
            for address in {worker["host"]: address for address, worker in self._workers().items()}.values():
                submit(1, workers=[address], allow_other_workers=True)
            compiling = True
            for future in done:
                yield running.pop(future), future.result()
                if not compiling:
                    submit(1)
                elif not running:
                    compiling = False
                    submit(_AHEAD * max(1, sum(self.threads())))
        except InputError as error:
            raise InputError(f"scheduler {self.address}: a worker says: {error}") from None
        except distributed.scheduler.KilledWorker:
            raise InputError(
                f"scheduler {self.address}: a block of rows ended several workers, one after the other; expected"
                " workers with memory enough: lower --memory, or give them more"
            ) from None
        except (ImportError, AttributeError) as error:
            raise InputError(
                f"scheduler {self.address}: a worker lacks what it needs ({said(error)}); expected the same msfit there"
            ) from None
        except (distributed.CancelledError, distributed.comm.CommClosedError, TimeoutError, OSError) as error:
            raise InputError(
                f"scheduler {self.address}: lost ({said(error)}); what is done is kept: run again with another"
            ) from None
        finally:
            with contextlib.suppress(Exception):  # a scheduler that is gone cancels nothing
                self.client.cancel(list(running))


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
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what matters is raised
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
