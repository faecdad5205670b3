"""A color photograph as the thermal camera of a flight would see it: 16-bit centikelvin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..data.scenes import resized
from ..errors import CrossbandError
from ..files import check_output
from ..io import read_image
from ..models.thermal_gan import Translator
from ..progress import says_once
from ..results import Result, save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "Photograph",
    "Thermal",
    "object_box",
    "read_photograph",
    "translate",
    "translate_photograph",
    "view_of",
]

_MILD = 288.15  # kelvin, 15 degrees Celsius
_MARGIN = 1 / 6
_LARGEST = 1024  # pixels of the longer side that are translated; a network this size sees no more


@dataclass(frozen=True)
class Photograph:
    """A color photograph with the place of the object in it.

    Attributes:
        pixels: float32 ``(3, H, W)`` in [0, 1].
        box: left, top, right, bottom in pixels.
    """

    pixels: torch.Tensor
    box: tuple[float, float, float, float]


@dataclass(frozen=True, repr=False)
class Thermal(Result):
    """A translated photograph.

    Attributes:
        kelvin: float32 ``(H, W)``.
        box: of the object in it.
        ambient: of the flight, kelvin.
        low, high: the range that the network can give, kelvin.
    """

    kelvin: np.ndarray
    box: tuple[float, float, float, float]
    ambient: float
    low: float
    high: float

    def to_dict(self) -> dict[str, Any]:
        """Return its figures, without the pixels."""
        return {"ambient": self.ambient, "low": self.low, "high": self.high, "box": list(self.box)}

    def plot(self) -> Figure:
        """Draw it in degrees Celsius."""
        from ..reports.plots import Drawing

        figure = Drawing(figsize=(5, 4), layout="constrained", dpi=130)
        ax = figure.subplots()
        image = ax.imshow(self.kelvin - 273.15, cmap="inferno")
        ax.set_axis_off()
        figure.colorbar(image, label="degrees Celsius", shrink=0.8)
        return figure

    @property
    def centikelvin(self) -> np.ndarray:
        """uint16 ``(H, W)``."""
        return np.clip(np.rint(self.kelvin.astype(np.float64) * 100), 0, 65535).astype(np.uint16)

    def write(self, path: str | Path) -> Path:
        """Write 16-bit centikelvin as PNG.

        Raises:
            CrossbandError: it cannot be written, or its name does not end in ``.png``.
        """
        from .stages import write_png

        path = Path(path)
        if path.suffix.lower() != ".png":
            raise CrossbandError(f"a translated image is a 16-bit PNG; use a .png name, not {path.name}")
        return write_png(path, self.centikelvin)


def read_photograph(path: str | Path, box: Sequence[float] | None = None) -> Photograph:
    """Read a photograph.

    Args:
        path: an image with three channels.
        box: left, top, right, bottom of the object in pixels; the middle two thirds where ``None``, as of
            an image that was cut out around it.

    Raises:
        CrossbandError: it cannot be read, is gray, or the box is not inside.
    """
    pixels = read_image(path).pixels
    if pixels.ndim != 3:
        raise CrossbandError(
            f"{path} is gray; only color photographs are translated (thermal ones are matched directly)"
        )
    height, width = pixels.shape[:2]
    top = np.iinfo(pixels.dtype).max if pixels.dtype.kind == "u" else 1
    image = torch.from_numpy(pixels[..., :3].astype(np.float32) / top).permute(2, 0, 1).contiguous()
    return Photograph(image, object_box((height, width), box, str(path)))


def object_box(
    size: tuple[int, int], box: Sequence[float] | None, where: str = "the image"
) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of the object in an image of (height, width).

    Example:
        >>> object_box((30, 60), None)
        (10.0, 5.0, 50.0, 25.0)

    Raises:
        CrossbandError: the box has no area, or is not inside.
    """
    height, width = size
    if box is None:
        return width * _MARGIN, height * _MARGIN, width * (1 - _MARGIN), height * (1 - _MARGIN)
    left, top, right, bottom = (float(value) for value in box)
    said = f"the box {left:g},{top:g},{right:g},{bottom:g}"
    if not (left < right and top < bottom):
        raise CrossbandError(f"{said} has no area; give left,top,right,bottom")
    if min(left, top) < 0 or right > width or bottom > height:
        raise CrossbandError(f"{said} is not inside {where}, {width}x{height}")
    return left, top, right, bottom


@says_once
def translate(
    photo: str | Path,
    model: str | Path | None = None,
    out: str | Path | None = None,
    *,
    flight: str | Path | None = None,
    ambient: float | None = None,
    device: str = "cpu",
) -> Thermal:
    """Make what a thermal camera would see of a color photograph.

    Args:
        photo: an image with three channels.
        model: a checkpoint of the task ``translation``; the packaged network without.
        out: where it is written as 16-bit PNG, centikelvin, with a picture of it in colors beside it,
            ``NAME_view.png``; nowhere where ``None``.
        flight: the flight whose temperature it is to have.
        ambient: or that temperature, kelvin; 15 degrees Celsius where neither is known, which is said.
        device: ``cpu``, ``cuda`` or ``auto``.

    Raises:
        CrossbandError: both a flight and a temperature; a file that is missing or wrong.
    """
    from ..models.packaged import checkpoint_for
    from ..progress import note
    from .flight import open_flight
    from .networks import load_translator

    if flight is not None and ambient is not None:
        raise CrossbandError(
            "a scene has one temperature; give a flight or the ambient temperature, not both",
            parameter="flight",
        )
    if out is not None:
        check_output(out, (".png",))
    photograph = read_photograph(photo)
    taken = open_flight(flight) if flight is not None else None
    if taken is not None:
        taken.need_temperatures()
    network, _ = load_translator(checkpoint_for("translation", model, "model"), device)
    if flight is None and ambient is None:
        note(f"a photograph has no temperature of its own: {_MILD} K is taken; a flight or ambient says it")
        ambient = _MILD
    level = taken.ambient() if taken is not None else float(ambient or 0)
    made = translate_photograph(photograph, network, level)
    if out is not None:
        save_figure(made.plot(), view_of(made.write(out)))
    return made


def view_of(path: Path) -> Path:
    """Return where the picture in colors of a translated image lies.

    Example:
        >>> view_of(Path("out/probe.png")).name
        'probe_view.png'
    """
    return path.with_name(f"{path.stem}_view.png")


def translate_photograph(
    photograph: Photograph, network: Translator, ambient: float, longest: float | None = None
) -> Thermal:
    """Translate a photograph by a loaded network.

    Args:
        photograph: what is translated.
        network: both stages, in evaluation.
        ambient: the flight's temperature, kelvin.
        longest: pixels that the object's longer side is brought to, where it is longer: the size at which the
            network knows objects.

    Raises:
        CrossbandError: the ambient temperature is not between 200 and 350 K.
    """
    if not 200 <= ambient <= 350:
        raise CrossbandError(
            f"ambient temperature {ambient:g} K is out of range; it must be between 200 and 350 K"
        )
    image, box = photograph.pixels, photograph.box
    side = max(box[2] - box[0], box[3] - box[1])
    scale = min(1.0, (longest or side) / side, _LARGEST / max(image.shape[-2:]))
    if scale < 1:
        size = max(round(image.shape[1] * scale), 8), max(round(image.shape[2] * scale), 8)
        factors = size[1] / image.shape[2], size[0] / image.shape[1]
        image = resized(image, size)
        box = box[0] * factors[0], box[1] * factors[1], box[2] * factors[0], box[3] * factors[1]
    device = next(network.parameters()).device
    with torch.inference_mode():
        made = network(image[None].to(device), torch.tensor([ambient], device=device))
    low, high = network.kelvin_range(ambient)
    return Thermal(made.thermal[0, 0].cpu().numpy(), box, ambient, low, high)
