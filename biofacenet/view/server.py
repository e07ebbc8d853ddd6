"""The server of `biofacenet view`: takes a photograph, says how far it is, and gives the page of its maps once."""

from __future__ import annotations

import json
import secrets
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

from biofacenet.photo.face import Box
from biofacenet.prediction import Model
from biofacenet.view.products import PRODUCTS, Product
from msfit.errors import InputError
from msfit.view.document import document, text_of
from msfit.view.server import Answer, PageServer

LARGEST = 64 << 20  # bytes of a photograph
AT_ONCE = 2  # photographs that are worked on or whose page was not fetched
_JSON = "application/json"


class _Cancelled(Exception):
    pass


@dataclass
class Job:
    """A photograph on its way to what is made of it."""

    name: str
    product: Product
    step: str = "waiting"
    error: str | None = None
    made: bytes | None = None
    cancelled: threading.Event = field(default_factory=threading.Event)


class PhotoServer(PageServer):
    """Takes photographs apart for a browser of this machine.

    A photograph lies in a file of its own, which no other user can read, until it is decoded; what is made of it
    (`biofacenet.view.products`) is in memory until it is fetched, once. Then nothing is left here.

    Parameters
    ----------
    model : Model or callable
        The network, or what loads it when the first photograph comes.
    port : int
        As of `PageServer`.
    """

    largest = LARGEST

    def __init__(self, model: Model | Callable[[], Model], port: int = 0) -> None:
        self.jobs: dict[str, Job] = {}
        self._model = model
        self._lock, self._turn = threading.Lock(), threading.Lock()
        super().__init__(drop_page(), port)

    def post(self, below: str, body: bytes, name: str) -> Answer | None:
        """``PRODUCT``, ``PRODUCT/X,Y,W,H`` or ``PRODUCT/whole`` with a file; ``cancel/JOB``."""
        what, _, rest = below.partition("/")
        if what == "cancel" and rest in self.jobs:
            self.jobs.pop(rest).cancelled.set()
            return _json({})
        if what not in PRODUCTS:
            return None
        job, key = Job(Path(name).name or "photograph", PRODUCTS[what]), secrets.token_urlsafe(16)
        with self._lock:
            if len(self.jobs) >= AT_ONCE:
                many = f"{AT_ONCE} photographs are being taken apart; wait, or cancel one"
                return _json({"error": many}, HTTPStatus.TOO_MANY_REQUESTS)
            self.jobs[key] = job
        threading.Thread(target=self._work, args=(job, body, rest or "auto"), daemon=True).start()
        return _json({"job": key})

    def get(self, below: str) -> Answer | None:
        """The page that takes photographs; ``state/JOB``; ``made/JOB``, once."""
        what, _, key = below.partition("/")
        job = self.jobs.get(key)
        if what == "state" and job is not None:
            done = job.made is not None or job.error is not None
            if job.error is not None:
                self.jobs.pop(key, None)
            return _json({"step": job.step, "error": job.error, "done": done})
        if what == "made" and job is not None and job.made is not None:
            self.jobs.pop(key, None)
            return Answer(job.made, job.product.kind)
        return super().get(below)

    def _work(self, job: Job, body: bytes, where: str) -> None:
        from biofacenet.photo.face import parse_box
        from biofacenet.photo.reading import read_photo

        def step(words: str) -> None:
            if job.cancelled.is_set():
                raise _Cancelled
            job.step = words

        try:
            with self._turn:
                step("reading the photograph")
                with tempfile.TemporaryDirectory(prefix="biofacenet-") as folder:
                    path = Path(folder) / f"photograph{Path(job.name).suffix[:12]}"
                    path.write_bytes(body)
                    try:
                        photo = read_photo(path)
                    except InputError as error:
                        raise InputError(str(error).replace(str(path), job.name)) from None
                del body
                step("loading the network")
                if not isinstance(self._model, Model):
                    self._model = self._model()
                step(job.product.step)
                box: Box | str = where if where in ("auto", "whole") else parse_box(where)
                try:
                    made = job.product.make(photo, self._model, box, job.name)
                except InputError as error:
                    raise InputError(f"{job.name}: {error}") from None
                step("done")
                job.made = made
        except _Cancelled:
            pass
        except InputError as error:
            job.error = str(error)
        except MemoryError:
            job.error = f"{job.name}: not enough memory; take a smaller picture"
        except Exception as error:  # what would else end in a thread that nobody looks at
            job.error = f"this is a fault of biofacenet, please report it: {type(error).__name__}: {error}"


def drop_page() -> str:
    """The page that takes a photograph."""
    body, style, script = (text_of(f"drop.{kind}", "biofacenet.view") for kind in ("html", "css", "js"))
    return document(
        body,
        title="biofacenet",
        style=text_of("page.css") + style,
        script=script,
        data={
            "largest": LARGEST,
            "products": {key: {"label": one.label, "ending": one.ending} for key, one in PRODUCTS.items()},
        },
        asks_server=True,
    )


def _json(content: dict[str, Any], status: HTTPStatus = HTTPStatus.OK) -> Answer:
    return Answer(json.dumps(content).encode("utf-8"), _JSON, status)
