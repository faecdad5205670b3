"""What there is: ``models`` and ``datasets``."""

from __future__ import annotations

from typing import Annotated

import typer

from ..errors import UnknownNameError, nearest, unknown_name
from ._app import app
from ._arguments import JsonOption
from ._printing import print_json, print_table

_HINTS = 5  # names that hold a word, which a message lists


@app.command()
def models(
    pattern: Annotated[str, typer.Argument(help="pattern, as in resnet*, in capitals or not")] = "*",
    as_json: JsonOption = False,
) -> None:
    """List the models: parameters, dim, license, and whether the weights are on this machine.

    Of encoders the parameters are without the classifier, and any model of timm works too, as timm/NAME.

    Example: crossband models "resnet*"
    """
    from dataclasses import asdict

    import pandas as pd

    from ..models import list_models, list_segmenters
    from ..models.packaged import list_packaged as list_trained
    from ..retrieval.descriptor import PRESETS, encoder_name, list_packed, list_presets

    wanted = pattern.casefold()  # as all names are
    encoder = encoder_name(wanted)
    listed = (list_trained, list_packed, list_models, list_segmenters)
    found = [asdict(info) for info in list_presets(wanted)]
    found += [asdict(info) for infos in listed for info in infos(encoder)]
    if not found:
        known = [*PRESETS, *(info.name for infos in listed for info in infos())]
        raise _no_model(pattern, known)
    if as_json:
        print_json(found)
    else:
        rows = [
            {
                "name": one["name"],
                "params_m": _cut(one["params_m"]),
                "dim": one["dim"] or "",  # a network that gives no vector has none
                **{key: one[key] for key in ("size", "weights")},
                "task, license, source": f"{one['task']}; {one['license']}\n{one['source']}",
            }
            for one in found
        ]
        print_table(pd.DataFrame(rows), width=120)


def _no_model(pattern: str, known: list[str]) -> UnknownNameError:
    """The error of a pattern that no name matches: names that hold it come first, the shortest of them."""
    word = pattern.casefold()
    holding = sorted((name for name in known if word in name), key=lambda name: (len(name), name))
    likely = [*holding[:_HINTS], *nearest(word, sorted(known))]
    return unknown_name("model", pattern, known, likely=likely)


def _cut(params_m: float) -> str:
    """Two decimals, cut and not rounded, as in the paper's table 4."""
    return f"{int(params_m * 100) / 100:.2f}"


@app.command()
def datasets(as_json: JsonOption = False) -> None:
    """List the public datasets that can be read as their authors publish them.

    Example: crossband datasets
    """
    import pandas as pd

    from ..datasets import list_datasets

    found = [
        {
            "name": d.name,
            "title": d.title,
            "bands": "+".join(d.bands),
            "source": d.source,
            "license": d.license,
        }
        for d in list_datasets()
    ]
    if as_json:
        print_json([{**entry, "layout": d.layout} for entry, d in zip(found, list_datasets(), strict=True)])
    else:
        print_table(pd.DataFrame(found))
