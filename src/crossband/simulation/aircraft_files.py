"""A simulated flight as the cameras of DJI and FLIR would have written it, from which it can be read again.

Radiometric JPEGs carry their counts and say in EXIF and XMP where they were taken; DJI's video has subtitles.
"""

from __future__ import annotations

import datetime
import io
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from ..bands import to_kelvin
from ..data.reader import FrameReader
from ..errors import CrossbandError
from ..files import make_folder, write_file
from ..frames import Frames

__all__ = ["write_dji_flight", "write_dji_video", "write_flir_flight"]

_PLANCK = {"r1": 16556.0, "b": 1428.0, "f": 1.0, "o": -342, "r2": 0.046952}
_SEGMENT = 65_000  # bytes of a JPEG segment, at most
_XAP = b"http://ns.adobe.com/xap/1.0/\x00"
_NEEDED = ("lat", "lon", "altitude", "heading", "pitch", "focal")


def write_dji_flight(frames: Frames, out: str | Path) -> Path:
    """Write a flight as DJI's thermal R-JPEGs: counts in APP3, position in EXIF, gimbal and height in XMP.

    Args:
        frames: with thermal images and the columns of a flight.
        out: the folder.

    Raises:
        CrossbandError: a column is missing.
    """
    folder = make_folder(out)
    for number, row, kelvin in _rows(frames):
        counts = np.rint((kelvin - 173.15) * 64).clip(0, 65535).astype("<u2")
        pitch, yaw = float(row["pitch"]), (float(row["heading"]) + 180) % 360 - 180
        packet = _packet(
            "drone-dji",
            "http://www.dji.com/drone-dji/1.0/",
            RelativeAltitude=f"{float(row['altitude']):+.2f}",
            GimbalYawDegree=f"{yaw:+.2f}",
            GimbalPitchDegree=f"{pitch:+.2f}",
        )
        exif = _exif(row)
        exif[0x8769] = {0xA405: round(float(row["focal"]) / max(kelvin.shape) * 36), 0x9003: _stamp(row)}
        extra = [(0xE1, _XAP + packet), *_parts(0xE3, counts.tobytes()), (0xE4, bytes(32))]
        write_file(folder / f"DJI_{number:04d}_T.JPG", _jpeg(kelvin, exif, extra))
    return folder


def write_flir_flight(frames: Frames, out: str | Path) -> Path:
    """Write a flight as FLIR's radiometric JPEGs of an aircraft's camera; see :func:`write_dji_flight`."""
    folder = make_folder(out)
    for number, row, kelvin in _rows(frames):
        records = _records(kelvin)
        pitch = float(row["pitch"]) + 90
        yaw, height = float(row["heading"]), float(row["altitude"])
        angles = _packet("Camera", "http://pix4d.com/camera/1.0/", Yaw=f"{yaw:.2f}", Pitch=f"{pitch:.2f}")
        own = _packet("FLIR", "http://ns.flir.com/xmp/1.0/", MAVRelativeAltitude=f"{1000 * height:.0f}/1000")
        exif = _exif(row)
        per_mm = 1 / 0.017  # sensor elements of 17 micrometers
        exif[0x8769] = {0x920A: float(row["focal"]) / per_mm, 0xA20E: per_mm, 0xA210: 4, 0x9003: _stamp(row)}
        extra = [(0xE1, _XAP + angles), (0xE1, _XAP + own), *_flir_parts(records)]
        write_file(folder / f"{number:05d}_R.jpg", _jpeg(kelvin, exif, extra))
    return folder


def write_dji_video(frames: Frames, path: str | Path, rate: int = 5, seconds: float = 1.0) -> Path:
    """Write a flight as a gray video with DJI's subtitles beside it.

    Args:
        frames: see :func:`write_dji_flight`.
        path: of the video, ``.mp4`` or ``.mkv``.
        rate: frames of the video a second; each frame of the flight is shown until the next.
        seconds: between two frames of the flight.
    """
    import av

    path = Path(path)
    make_folder(path.parent)
    rows = list(_rows(frames))
    low, high = np.percentile(np.stack([kelvin for *_, kelvin in rows]), (0.5, 99.5))
    entries, shown = [], max(1, round(rate * seconds))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate, options={"qscale": "2"})
        stream.height, stream.width = rows[0][2].shape
        stream.pix_fmt = "yuv420p"
        for place, (_, row, kelvin) in enumerate(rows):
            gray = ((kelvin - low) / (high - low) * 255).clip(0, 255).astype(np.uint8)
            entries.append(_subtitle(place, row, seconds, max(kelvin.shape)))
            for _ in range(shown):
                frame = av.VideoFrame.from_ndarray(np.repeat(gray[..., None], 3, 2), format="rgb24")
                container.mux(stream.encode(frame))
        container.mux(stream.encode())
    write_file(path.with_suffix(".SRT"), "\n".join(entries))
    return path


def _rows(frames: Frames) -> Iterator[tuple[int, Any, np.ndarray]]:
    """Number, metadata and temperatures of each frame."""
    if lacking := [name for name in _NEEDED if not frames.has(name)]:
        raise CrossbandError(f"the frames of {frames.root} have no {', '.join(lacking)}, so they are no flight")
    reader, units = FrameReader(frames), frames.units()
    for number, (_, row) in enumerate(frames.table.iterrows()):
        yield number + 1, row, to_kelvin(reader.pixels(number, "tir"), units[number] or "counts")


def _moment(row: Any) -> datetime.datetime:
    """When a frame was taken; midnight of some day where the frames do not say."""
    text = row.get("time")
    return (
        datetime.datetime.fromisoformat(str(text)) if isinstance(text, str) else datetime.datetime(2025, 1, 1)
    )


def _stamp(row: Any) -> str:
    return _moment(row).strftime("%Y:%m:%d %H:%M:%S")


def _exif(row: Any) -> PIL.Image.Exif:
    exif = PIL.Image.Exif()
    exif[0x8825] = {
        1: "N" if row["lat"] >= 0 else "S",
        2: _degrees(float(row["lat"])),
        3: "E" if row["lon"] >= 0 else "W",
        4: _degrees(float(row["lon"])),
    }
    return exif


def _degrees(value: float) -> tuple[float, float, float]:
    whole = abs(value)
    minutes = (whole - int(whole)) * 60
    return float(int(whole)), float(int(minutes)), round((minutes - int(minutes)) * 60, 5)


def _packet(prefix: str, space: str, **said: str) -> bytes:
    """An XMP packet with some attributes."""
    attributes = " ".join(f'{prefix}:{name}="{value}"' for name, value in said.items())
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description xmlns:{prefix}="{space}" {attributes}></rdf:Description></rdf:RDF></x:xmpmeta>'
    ).encode()


def _jpeg(kelvin: np.ndarray, exif: PIL.Image.Exif, extra: list[tuple[int, bytes]]) -> Any:
    """What writes a JPEG of the temperatures with segments behind EXIF's."""
    low, high = np.percentile(kelvin, (0.5, 99.5))
    gray = ((kelvin - low) / max(high - low, 1e-6) * 255).clip(0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    PIL.Image.fromarray(gray).convert("RGB").save(buffer, "JPEG", quality=90, exif=exif)
    data = buffer.getvalue()
    at = 2
    while data[at : at + 2] in (b"\xff\xe0", b"\xff\xe1"):
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    segments = b"".join(bytes([0xFF, kind]) + struct.pack(">H", len(part) + 2) + part for kind, part in extra)
    whole = data[:at] + segments + data[at:]
    return lambda partial: Path(partial).write_bytes(whole)


def _parts(kind: int, content: bytes) -> list[tuple[int, bytes]]:
    return [(kind, content[start : start + _SEGMENT]) for start in range(0, len(content), _SEGMENT)]


def _flir_parts(content: bytes) -> list[tuple[int, bytes]]:
    parts = _parts(0xE1, content)
    head = b"FLIR\x00\x01"
    return [(kind, head + bytes([number, len(parts) - 1]) + part) for number, (kind, part) in enumerate(parts)]


def _records(kelvin: np.ndarray) -> bytes:
    """FLIR's records: the counts of a camera that looks at black bodies through no air, and its constants."""
    counts = _PLANCK["r1"] / (_PLANCK["r2"] * (np.exp(_PLANCK["b"] / kelvin) - _PLANCK["f"])) - _PLANCK["o"]
    raw = io.BytesIO()
    PIL.Image.fromarray(np.rint(counts).clip(0, 65535).astype(np.uint16).byteswap()).save(raw, "PNG")
    height, width = kelvin.shape
    camera = bytearray(1000)
    struct.pack_into("<6f", camera, 32, 1.0, 0.0, 293.15, 293.15, 293.15, 1.0)
    struct.pack_into("<f", camera, 60, 0.5)
    struct.pack_into("<3f", camera, 88, _PLANCK["r1"], _PLANCK["b"], _PLANCK["f"])
    struct.pack_into("<5f", camera, 112, 0.006569, 0.01262, -0.002276, -0.00667, 1.9)
    struct.pack_into("<if", camera, 776, int(_PLANCK["o"]), _PLANCK["r2"])
    records = {1: struct.pack("<HHH", 2, width, height).ljust(32, b"\0") + raw.getvalue(), 32: bytes(camera)}
    offset, directory, body = 64 + 32 * len(records), b"", b""
    for kind, record in records.items():
        directory += struct.pack(">HHIIII", kind, 1, 100, 1, offset + len(body), len(record)).ljust(32, b"\0")
        body += record
    header = b"FFF\0" + b"crossband".ljust(16, b"\0") + struct.pack(">III", 100, 64, len(records))
    return header.ljust(64, b"\0") + directory + body


def _subtitle(place: int, row: Any, seconds: float, width: int) -> str:
    def clock(time: float) -> str:
        whole = int(time)
        return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d},{round(1000 * (time - whole)):03d}"

    moment = _moment(row).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    focal = float(row["focal"]) / width * 36
    return (
        f"{place + 1}\n{clock(place * seconds)} --> {clock((place + 1) * seconds)}\n"
        f'<font size="28">FrameCnt: {place + 1}, DiffTime: {1000 * seconds:.0f}ms\n{moment}\n'
        f"[focal_len: {focal:.2f}] [latitude: {row['lat']:.7f}] [longitude: {row['lon']:.7f}] "
        f"[rel_alt: {row['altitude']:.3f} abs_alt: {row['altitude'] + 300:.3f}] "
        f"[gb_yaw: {row['heading']:.1f} gb_pitch: {row['pitch']:.1f} gb_roll: 0.0] </font>\n"
    )
