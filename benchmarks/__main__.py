"""Run the benchmarks of speed one after another and write what they print into docs/benchmarks.md."""

from __future__ import annotations

from . import embedding, explain, metrics, search, simulate, training
from ._harness import ROOT, write_section


def main() -> None:
    for module in (embedding, explain, metrics, search, simulate, training):
        name = module.__name__.rsplit(".", 1)[-1]
        text = module.main()
        print(text, end="\n\n", flush=True)
        write_section(ROOT / "docs" / "benchmarks.md", name, text)


if __name__ == "__main__":
    main()
