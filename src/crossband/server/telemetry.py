"""Counters and times in Prometheus' text form."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable

__all__ = ["Telemetry"]

_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Telemetry:
    """What a server counts; safe among threads.

    Example:
        >>> told = Telemetry()
        >>> told.count("crossband_uploads_total", kind="image")
        >>> told.text().splitlines()[-1]
        'crossband_uploads_total{kind="image"} 1'
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        self._times: dict[str, list[int]] = {}
        self._sums: dict[str, float] = defaultdict(float)
        self._gauges: dict[str, Callable[[], float]] = {}

    def count(self, name: str, n: float = 1, **labels: str) -> None:
        """Add to a counter."""
        with self._lock:
            self._counts[name][_labels(labels)] += n

    def observe(self, seconds: float, **labels: str) -> None:
        """Add the time of one request."""
        key = _labels(labels)
        with self._lock:
            row = self._times.setdefault(key, [0] * (len(_BOUNDS) + 1))
            row[bisect_left(_BOUNDS, seconds)] += 1
            self._sums[key] += seconds

    def gauge(self, name: str, value: Callable[[], float]) -> None:
        """Give a value that is read when somebody asks."""
        self._gauges[name] = value

    def text(self) -> str:
        """Return everything in the text exposition format, version 0.0.4."""
        lines = []
        gauges = {name: value() for name, value in self._gauges.items()}
        with self._lock:
            for name, value in sorted(gauges.items()):
                lines += [f"# TYPE {name} gauge", f"{name} {value:g}"]
            if self._times:
                lines.append("# TYPE crossband_request_seconds histogram")
            for key, row in sorted(self._times.items()):
                total = 0
                for bound, n in zip((*map(str, _BOUNDS), "+Inf"), row, strict=True):
                    total += n
                    lines.append(f"crossband_request_seconds_bucket{{{_joined(key, bound)}}} {total}")
                lines.append(f"crossband_request_seconds_sum{_braces(key)} {self._sums[key]:.6f}")
                lines.append(f"crossband_request_seconds_count{_braces(key)} {total}")
            for name, values in sorted(self._counts.items()):
                lines.append(f"# TYPE {name} counter")
                lines += [f"{name}{_braces(key)} {value:g}" for key, value in sorted(values.items())]
        return "\n".join(lines) + "\n"


def _labels(labels: dict[str, str]) -> str:
    def escaped(text: str) -> str:
        return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")

    return ",".join(f'{name}="{escaped(value)}"' for name, value in sorted(labels.items()))


def _joined(key: str, bound: str) -> str:
    return ",".join(part for part in (key, f'le="{bound}"') if part)


def _braces(key: str) -> str:
    return f"{{{key}}}" if key else ""
