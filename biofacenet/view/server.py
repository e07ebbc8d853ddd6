"""The server of `biofacenet view`: takes a photograph or a scene, says how far it is, and gives what it made once."""

from __future__ import annotations

import json
import secrets
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

from biofacenet.photo.face import Box
from biofacenet.prediction import Model
from biofacenet.view.products import HTML, PRODUCTS, Product, scene_page
from msfit.errors import InputError
from msfit.view.document import document, text_of
from msfit.view.server import Answer, PageServer

LARGEST = 64 << 20  # bytes of a photograph
LARGEST_SCENE = 512 << 20  # of a scene: 1,024 x 1,024 x 31 in double precision are half of it
AT_ONCE = 2  # files that are worked on or whose page was not fetched
_SCENE = "scene"
_JSON = "application/json"

Step = Callable[[str], None]


class _Cancelled(Exception):
    pass


@dataclass
class Job:
    """A photograph, or without a product a scene, on its way to what is made of it."""

    name: str
    product: Product | None
    step: str = "waiting"
    error: str | None = None
    made: bytes | None = None
    cancelled: threading.Event = field(default_factory=threading.Event)


class PhotoServer(PageServer):
    """Takes photographs and scenes apart for a browser of this machine.

    What is sent lies in a file of its own, which no other user can read, until it is decoded; what is made of it
    (`biofacenet.view.products`) is in memory until it is fetched, once. Then nothing is left here.

    Parameters
    ----------
    model : Model or callable
        The network, or what loads it when the first photograph comes.
    port : int
        As of `PageServer`.
    """

    largest = LARGEST_SCENE

    def __init__(self, model: Model | Callable[[], Model], port: int = 0) -> None:
        self.jobs: dict[str, Job] = {}
        self._model = model
        self._lock, self._turn = threading.Lock(), threading.Lock()
        super().__init__(drop_page(), port)

    def post(self, below: str, body: bytes, name: str) -> Answer | None:
        """``PRODUCT``, ``PRODUCT/X,Y,W,H``, ``PRODUCT/whole`` with a photograph; ``scene``, ``scene/WHITE`` with a
        scene; ``cancel/JOB``.
        """
        what, _, rest = below.partition("/")
        if what == "cancel" and rest in self.jobs:
            self.jobs.pop(rest).cancelled.set()
            return _json({})
        if what not in PRODUCTS and what != _SCENE:
            return None
        job, key = Job(Path(name).name or "photograph", PRODUCTS.get(what)), secrets.token_urlsafe(16)
        if job.product is not None and len(body) > LARGEST:
            large = f"{job.name}: {len(body) / 2**20:.0f} MiB; expected at most {LARGEST >> 20} MiB"
            return _json({"error": large}, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        with self._lock:
            if len(self.jobs) >= AT_ONCE:
                many = f"{AT_ONCE} files are being taken apart; wait, or cancel one"
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
            return Answer(job.made, HTML if job.product is None else job.product.kind)
        return super().get(below)

    def _work(self, job: Job, body: bytes, where: str) -> None:
        def step(words: str) -> None:
            if job.cancelled.is_set():
                raise _Cancelled
            job.step = words

        try:
            with self._turn:
                if job.product is None:
                    with _as_file(job.name, body) as path:  # large ones are read as they are fitted
                        made = scene_page(path, where, job.name, step)
                else:
                    made = self._of_photo(job.product, job.name, body, where, step)
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

    def _of_photo(self, product: Product, name: str, body: bytes, where: str, step: Step) -> bytes:
        from biofacenet.photo.face import parse_box
        from biofacenet.photo.reading import read_photo

        step("reading the photograph")
        with _as_file(name, body) as path:
            photo = read_photo(path)
        del body
        step("loading the network")
        if not isinstance(self._model, Model):
            self._model = self._model()
        step(product.step)
        box: Box | str = where if where in ("auto", "whole") else parse_box(where)
        try:
            return product.make(photo, self._model, box, name)
        except InputError as error:
            raise InputError(f"{name}: {error}") from None


@contextmanager
def _as_file(name: str, body: bytes) -> Iterator[Path]:
    """A file of these bytes, for as long as it is needed; refusals call it by its name."""
    with tempfile.TemporaryDirectory(prefix="biofacenet-") as folder:
        path = Path(folder) / f"file{Path(name).suffix[:12]}"
        path.write_bytes(body)
        try:
            yield path
        except InputError as error:
            raise InputError(str(error).replace(str(path), name)) from None


def drop_page() -> str:
    """The page that takes a photograph or a scene."""
    body, style, script = (text_of(f"drop.{kind}", "biofacenet.view") for kind in ("html", "css", "js"))
    return document(
        body,
        title="biofacenet",
        style=text_of("page.css") + style,
        script=script,
        data={
            "largest": LARGEST,
            "largest_scene": LARGEST_SCENE,
            "products": {
                key: {"label": one.label, "ending": one.ending, "whole": one.whole} for key, one in PRODUCTS.items()
            },
        },
        asks_server=True,
    )


def _json(content: dict[str, Any], status: HTTPStatus = HTTPStatus.OK) -> Answer:
    return Answer(json.dumps(content).encode("utf-8"), _JSON, status)
