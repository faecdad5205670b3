"""What a running server holds: galleries, networks, decoders, uploads, jobs."""

from __future__ import annotations

import contextlib
import functools
import os
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import CrossbandError
from ..models.packaged import checkpoint_for
from .decoding import BusyError, Decoders
from .describing import Describer
from .galleries import open_galleries
from .jobs import Jobs
from .settings import Settings, check_there, tile_host
from .telemetry import Telemetry
from .uploads import Uploads

if TYPE_CHECKING:
    from ..matching.align import Aligner
    from ..segmentation.predict import LoadedSegmenter
    from ..uav.networks import Detector

__all__ = ["Service"]

T = TypeVar("T")


class Service:
    """Everything that requests share; each network is loaded once, when it is first needed.

    Args:
        settings: what to serve.

    Attributes:
        ready: set when a search has been made in each gallery, so that the next one waits for nothing.
        ending: set when the server is being stopped, so that what never ends by itself does.

    Raises:
        CrossbandError: a gallery cannot be opened.
    """

    def __init__(self, settings: Settings) -> None:
        check_there(settings.map, "map")
        check_there(settings.models, "models")
        if settings.tiles is not None:
            tile_host(settings.tiles)
        self.settings, self.telemetry = settings, Telemetry()
        self.describer = Describer(self._batched)
        self.decoders = Decoders(  # first, so that they start while the galleries are opened
            settings.decoders,
            settings.decoder_bytes,
            settings.decoder_seconds,
            settings.upload_pixels,
            lambda: self.telemetry.count("crossband_decoders_replaced_total"),
        )
        try:
            self.galleries = open_galleries(
                settings.galleries, self.describer, settings.memory, settings.device
            )
        except BaseException:
            self.decoders.close()
            raise
        self.uploads = Uploads(settings.kept_bytes)
        self._scratch = None if settings.state else tempfile.TemporaryDirectory(prefix="crossband-serve-")
        self.state = Path(settings.state or self._scratch.name)  # type: ignore[union-attr]
        self.jobs = Jobs(self.state / "jobs")
        self.network = threading.Lock()  # one heavy network at a time: they use every core as it is
        self.ready, self.ending = threading.Event(), threading.Event()
        self._loading = threading.Lock()
        self._loaded: dict[str, Any] = {}
        self.telemetry.gauge("crossband_memory_bytes", _resident)
        self.telemetry.gauge("crossband_uploads_bytes", lambda: self.uploads.size)
        self.telemetry.gauge("crossband_galleries", lambda: len(self.galleries))

    def warm(self) -> None:
        """Load what the first request would wait for."""
        for gallery in self.galleries.values():
            gallery.warm()
        with contextlib.suppress(BusyError):  # they are at work
            self.decoders.wait()
        self.ready.set()

    def close(self) -> None:
        """End processes and threads; jobs go on."""
        self.jobs.close()
        self.decoders.close()
        self.describer.close()
        if self._scratch is not None:
            self._scratch.cleanup()

    def aligner(self, model: str) -> Aligner:
        """Return what registers images by a kind of transform."""

        def load() -> Aligner:
            try:
                from ..matching.align import Aligner
            except ImportError:
                raise CrossbandError("align needs OpenCV; pip install 'crossband[vision]'") from None
            return Aligner(model)

        return self._once(f"align {model}", load)

    def segmenter(self) -> LoadedSegmenter:
        """Return the segmentation network of the folder of models, or the packaged one."""
        from ..segmentation.predict import load_segmenter

        path = functools.partial(self._checkpoint, "segmentation")
        return self._once("segmentation", lambda: load_segmenter(path(), self.settings.device))

    def detector(self) -> Detector:
        """Return the detector of the folder of models, or the packaged one."""
        from ..uav.networks import read_detector

        path = functools.partial(self._checkpoint, "detection")
        return self._once("detection", lambda: read_detector(path(), self.settings.device))

    def _checkpoint(self, task: str) -> Path:
        own = None if self.settings.models is None else self.settings.models / f"{task}.safetensors"
        return checkpoint_for(task, own if own is not None and own.is_file() else None, "models")

    def _once(self, name: str, load: Callable[[], T]) -> T:
        with self._loading:
            if name not in self._loaded:
                self._loaded[name] = load()
            found: T = self._loaded[name]
            return found

    def _batched(self, size: int) -> None:
        self.telemetry.count("crossband_batches_total")
        self.telemetry.count("crossband_described_total", size)


def _resident() -> float:
    """Bytes of memory that this process holds."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return float(pages * os.sysconf("SC_PAGE_SIZE"))
