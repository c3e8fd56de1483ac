"""`colxtr export`: a checkpoint of torch becomes the folder that everything else here reads."""

from __future__ import annotations

import json
import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from colxtr.cli.guard import end
from colxtr.cli.options import AsJson

if TYPE_CHECKING:
    from colxtr.training.export.folder import ExportReport, Quantize

_CALIBRATION_TEXTS = 200


def export(  # noqa: PLR0917 (typer passes by name)
    model: Annotated[str, typer.Argument(help="A folder or hub id.", metavar="MODEL")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder to write.")],
    int8: Annotated[bool, typer.Option("--int8", help="Weights in int8: the default.")] = False,
    float32: Annotated[
        bool, typer.Option("--float32", help="Weights in float32: exactly the checkpoint.")
    ] = False,
    both: Annotated[
        bool, typer.Option("--both", help="Both, in the subfolders int8 and float32.")
    ] = False,
    calibrate: Annotated[
        list[str] | None,
        typer.Option(
            help="Files of documents that int8 of a BERT is fitted to: faster, and more exact.",
            metavar="DOCS",
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="The model's name for people.")] = None,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit on the hub.")] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the folder that is there.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Export a model to ONNX, for use without torch.

    Reads PyLate, sentence-transformers 6, Stanford ColBERT, XTR, PrimeQA's ColXTR, and what
    training here saves. What is written is compared with the checkpoint first: float32 must agree
    in every token, and the mean cosine of int8 is printed. Needs colxtr[train].
    --json prints one object: folder, name, layout, dim, and for int8 and float32 cosines, sizes.

    \b
    Examples:
        colxtr export colbert-ir/colbertv2.0 --output colbertv2
        colxtr export google/xtr-base-en --output xtr --float32
        colxtr export runs/my-model --output my-model --calibrate papers.jsonl
        colxtr index docs/ --index my.index --model my-model
    """  # noqa: D301
    if int8 + float32 + both > 1:
        end("error: give one of --int8, --float32, --both", code=2)
    if calibrate and float32:
        end("error: --calibrate is for int8; leave out --float32", code=2)
    texts = _texts(calibrate) if calibrate else None
    quantize: Quantize = "both" if both else None if float32 else "int8"
    from colxtr.training.needs import need_torch  # noqa: PLC0415

    need_torch("colxtr export")
    from colxtr.training.export import export as run  # noqa: PLC0415

    report = run(
        model,
        output,
        quantize=quantize,
        name=name,
        calibration=texts,
        revision=revision,
        overwrite=overwrite,
    )
    _print(report, as_json)


def _texts(sources: list[str]) -> list[str]:
    from colxtr.corpora import read_documents  # noqa: PLC0415

    documents = islice(read_documents(sources), _CALIBRATION_TEXTS)
    return [f"{document.title} {document.text}".strip() for document in documents]


def _print(report: ExportReport, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(report.as_dict(), ensure_ascii=False) + "\n")
        return
    from colxtr.cli.render import megabytes  # noqa: PLC0415

    sys.stdout.write(f"read as {report.layout}; {report.dim} dimensions\n")
    for kind, cosine in report.cosines.items():
        folder = report.folder / kind if len(report.cosines) > 1 else report.folder
        sys.stdout.write(
            f"{folder}: {kind}, {megabytes(report.sizes[kind])}, cosine of its token embeddings to "
            f"the checkpoint's {cosine:.4f}\n"
        )
