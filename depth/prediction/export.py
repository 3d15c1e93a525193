"""Writes a trained depth network as one file for other runtimes, and checks it against PyTorch.

    python -m depth.export runs/NAME --format onnx
    python -m depth.export runs/NAME --format torchscript --output model.pt

The batch is free, height and width are the checkpoint's. Input: `image`, float32 (batch,3,H,W), RGB in [0,1]; the
normalisation is inside. Output: `inverse_depth`, float32 (batch,1,H,W); depth is 1 / inverse_depth.
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

from depth.geometry import disparity_to_inverse_depth
from depth.options.predict import ExportOptions
from depth.support.cli import parse
from depth.support.files import written_aside
from depth.support.quiet import quiet_loggers
from depth.trained import TrainedModel, load_trained
from depth.types import UserError

TOLERANCE = 1e-4  # largest difference to PyTorch, 1 / unit
_SUFFIX = {"onnx": ".onnx", "torchscript": ".torchscript.pt"}
_MARK = "normalisation is inside"  # in the description that every exported file holds
_PACKAGES = ("onnx", "onnxruntime", "onnxscript")

Runner = Callable[[Tensor], np.ndarray]


class ExportedNet(nn.Module):
    """A depth network as other runtimes see it: one tensor in, one tensor out.

    Args:
        trained: the model; its depth network may return any DepthOutput.
    """

    def __init__(self, trained: TrainedModel) -> None:
        super().__init__()
        self.depth_net = trained.depth_net
        self.min_depth, self.max_depth = trained.min_depth, trained.max_depth
        self.factor = trained.unit_factor if trained.metres_from else 1.0

    def forward(self, image: Tensor) -> Tensor:
        """Image (B,3,H,W), RGB in [0,1] -> inverse depth (B,1,H,W), 1/m, or 1/unit of a monocular model."""
        disparity = self.depth_net(image).disparities[0][:, :1]
        return disparity_to_inverse_depth(disparity, self.min_depth, self.max_depth) / self.factor


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
    if not place.exists():
        raise UserError(f"there is no run, checkpoint or Monodepth2 folder at {place}")
    trained = load_trained(place)
    path = Path(options.output) if options.output else default_output(place, options.format)
    if path.is_file() and not _is_export(path):
        raise UserError(f"{path} is there and no earlier export: it is kept; name another file with --output")
    net = ExportedNet(trained).eval()
    try:
        write, load = (_write_onnx, _load_onnx) if options.format == "onnx" else (_write_torchscript, _load_torchscript)
        with written_aside(path) as aside:
            with _quiet():
                write(net, trained, aside)
                difference = largest_difference(net, load(aside), trained.height, trained.width)
            if not difference < TOLERANCE:
                text = f"it differs from PyTorch by {difference:.1e}; please report this"
                raise UserError(f"{path} is not written: {text}")
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from None
    return path, difference


def _is_export(path: Path) -> bool:
    """Whether a file is what this command writes: both formats hold the description as plain bytes."""
    try:
        return _MARK.encode() in path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None


def default_output(place: Path, format: str) -> Path:
    """model.onnx or model.torchscript.pt in a run's folder, or a checkpoint's name with that ending beside it."""
    return place / f"model{_SUFFIX[format]}" if place.is_dir() else place.with_suffix(_SUFFIX[format])


def description(trained: TrainedModel) -> dict[str, str]:
    """What a user of the file must know, as text by name; it is stored in the file."""
    unit = "metres" if trained.metres_from else "the model's unit, up to scale"
    factor = trained.unit_factor if trained.metres_from else 1.0
    size = f"{trained.height},{trained.width}"
    return {
        "input": f"image: float32 (batch,3,{size}), RGB in [0,1], resized to this size; {_MARK}",
        "output": f"inverse_depth: float32 (batch,1,{size}), 1 / {unit}; depth = 1 / inverse_depth",
        "height": str(trained.height),
        "width": str(trained.width),
        "min_depth": repr(trained.min_depth * factor),
        "max_depth": repr(trained.max_depth * factor),
        "unit": unit,
        "trained_on": str(trained.record.get("dataset") or "unknown"),
        "model": trained.path.name,
    }


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
            expected = net(images).numpy()
        found = run_file(images)
        if found.shape != expected.shape:
            raise UserError(f"the exported file gives {found.shape} where PyTorch gives {expected.shape}")
        differences.append(float(np.abs(found - expected).max()))
    return max(differences)


def _check_extra() -> None:
    for name in _PACKAGES:
        try:
            importlib.import_module(name)
        except ImportError:
            raise UserError(f'--format onnx needs the package {name}: pip install -e ".[export]"') from None


def _write_onnx(net: nn.Module, trained: TrainedModel, path: Path) -> None:
    # Two images: with one, the exporter would take the batch for a constant.
    images = torch.zeros(2, 3, trained.height, trained.width)
    with torch.no_grad():
        net(images)  # fills the cache of DCT matrices, which the exporter would fill with tensors that hold nothing
    program = torch.onnx.export(
        net,
        (images,),
        dynamo=True,
        input_names=["image"],
        output_names=["inverse_depth"],
        dynamic_shapes={"image": {0: torch.export.Dim("batch")}},
        verbose=False,
    )
    facts = description(trained)
    graph = program.model.graph
    graph.inputs[0].doc_string, graph.outputs[0].doc_string = facts["input"], facts["output"]
    program.model.doc_string = "Monocular depth network of dejavu-depth"
    program.model.metadata_props.update(facts)
    program.save(str(path), external_data=False)


def _load_onnx(path: Path) -> Runner:
    import onnx
    import onnxruntime

    onnx.checker.check_model(str(path))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda images: session.run(["inverse_depth"], {"image": images.numpy()})[0]


def _write_torchscript(net: nn.Module, trained: TrainedModel, path: Path) -> None:
    with torch.no_grad():
        traced = torch.jit.trace(net, torch.zeros(2, 3, trained.height, trained.width), check_trace=False)
    buffer = io.BytesIO()
    torch.jit.save(traced, buffer, _extra_files={"metadata.json": json.dumps(description(trained))})
    path.write_bytes(buffer.getvalue())


def _load_torchscript(path: Path) -> Runner:
    module: Any = torch.jit.load(str(path))

    def run_module(images: Tensor) -> np.ndarray:
        with torch.no_grad():
            return module(images).numpy()

    return run_module


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporters announce themselves and their own deprecations, which no user can act on."""
    with quiet_loggers(logging.WARNING), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
