"""Writes a trained network as one file for other runtimes, and checks it against PyTorch.

    python -m depth.export runs/NAME --format onnx
    python -m depth.export runs/NAME --format torchscript --output model.pt

The batch is free, height and width are the checkpoint's. Input: `image`, float32 (batch,3,H,W), RGB in [0,1]; the
normalisation is inside. Output: `inverse_depth`, float32 (batch,1,H,W); depth is 1 / inverse_depth. Of a network of
several tasks, an output a task, called after it.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from depth.options.predict import ExportOptions
from depth.prediction.exported import MARK, Exported, exported
from depth.support.cli import parse
from depth.support.files import written_aside
from depth.support.quiet import quiet_loggers
from depth.types import UserError

TOLERANCE = 1e-4  # largest difference to PyTorch, 1 / unit
_SUFFIX = {"onnx": ".onnx", "torchscript": ".torchscript.pt"}
_PACKAGES = ("onnx", "onnxruntime", "onnxscript")

Runner = Callable[[Tensor], list[np.ndarray]]  # images -> the outputs in their order


def main() -> None:
    options = parse(ExportOptions, __doc__)
    path, difference = export(options)
    print(f"{options.format}: {path}, largest difference to PyTorch {difference:.1e} (must be below {TOLERANCE:.0e})")


def export(options: ExportOptions) -> tuple[Path, float]:
    """Writes the file; it appears under its name only once it has been read back and agrees with PyTorch.

    Returns:
        The file, and the largest difference of its inverse depths to PyTorch's, 1 / unit.

    Raises:
        UserError: there is no such model, the `export` extra is not installed, the file cannot be written, does not
            agree, or would replace one that is no earlier export.
    """
    if options.format == "onnx":
        _check_extra()
    place = Path(options.model)
    made = exported(place, options.checkpoint_choice)
    path = Path(options.output) if options.output else default_output(place, options.format)
    if path.is_file() and not _is_export(path):
        raise UserError(f"{path} is there and no earlier export: it is kept; name another file with --output")
    try:
        write, load = (_write_onnx, _load_onnx) if options.format == "onnx" else (_write_torchscript, _load_torchscript)
        with written_aside(path) as aside:
            with _quiet():
                write(made, aside)
                difference = largest_difference(made.net, load(aside), made.height, made.width)
            if not difference < TOLERANCE:
                text = f"it differs from PyTorch by {difference:.1e}; please report this"
                raise UserError(f"{path} is not written: {text}")
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from None
    return path, difference


def _is_export(path: Path) -> bool:
    """Whether a file is what this command writes: both formats hold the description as plain bytes."""
    try:
        return MARK.encode() in path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None


def default_output(place: Path, format: str) -> Path:
    """model.onnx or model.torchscript.pt in a run's folder, or a checkpoint's name with that ending beside it."""
    return place / f"model{_SUFFIX[format]}" if place.is_dir() else place.with_suffix(_SUFFIX[format])


def largest_difference(net: nn.Module, run_file: Runner, height: int, width: int) -> float:
    """Largest difference between PyTorch's and a file's outputs over batches of one and of three images.

    Noise has every frequency, the ramps stand for smooth surfaces.
    """
    generator = torch.Generator().manual_seed(0)
    ramps = torch.linspace(0, 1, width).expand(1, 3, height, width) * torch.linspace(0.2, 1, height)[:, None]
    noise = torch.rand(2, 3, height, width, generator=generator)
    differences = []
    for images in (ramps.contiguous(), torch.cat([ramps, noise])):
        with torch.no_grad():
            expected = _arrays(net(images))
        for ours, theirs in zip(run_file(images), expected, strict=True):
            if ours.shape != theirs.shape:
                raise UserError(f"the exported file gives {ours.shape} where PyTorch gives {theirs.shape}")
            differences.append(float(np.abs(ours - theirs).max()))
    return max(differences)


def _arrays(outputs: Tensor | tuple[Tensor, ...]) -> list[np.ndarray]:
    return [each.numpy() for each in ((outputs,) if isinstance(outputs, Tensor) else outputs)]


def _check_extra() -> None:
    for name in _PACKAGES:
        try:
            importlib.import_module(name)
        except ImportError:
            raise UserError(f'--format onnx needs the package {name}: pip install -e ".[export]"') from None


def _write_onnx(made: Exported, path: Path) -> None:
    # Two images: with one, the exporter would take the batch for a constant.
    images = torch.zeros(2, 3, made.height, made.width)
    with torch.no_grad():
        # Fills the cache of DCT matrices, which the exporter would fill with tensors that hold nothing.
        made.net(images)
    program = torch.onnx.export(
        made.net,
        (images,),
        dynamo=True,
        input_names=["image"],
        output_names=list(made.names),
        dynamic_shapes={"image": {0: torch.export.Dim("batch")}},
        verbose=False,
    )
    graph = program.model.graph
    graph.inputs[0].doc_string = made.facts["input"]
    for output in graph.outputs:
        output.doc_string = made.facts["output"]
    program.model.doc_string = "Network of dejavu-depth for single images"
    program.model.metadata_props.update(made.facts)
    program.save(str(path), external_data=False)


def _load_onnx(path: Path) -> Runner:
    import onnx
    import onnxruntime

    onnx.checker.check_model(str(path))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda images: session.run(None, {"image": images.numpy()})


def _write_torchscript(made: Exported, path: Path) -> None:
    with torch.no_grad():
        traced = torch.jit.trace(made.net, torch.zeros(2, 3, made.height, made.width), check_trace=False)
    buffer = io.BytesIO()
    torch.jit.save(traced, buffer, _extra_files={"metadata.json": json.dumps(made.facts)})
    path.write_bytes(buffer.getvalue())


def _load_torchscript(path: Path) -> Runner:
    module: Any = torch.jit.load(str(path))

    def run_module(images: Tensor) -> list[np.ndarray]:
        with torch.no_grad():
            return _arrays(module(images))

    return run_module


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporters announce themselves and their own deprecations, which no user can act on."""
    with quiet_loggers(logging.WARNING), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
