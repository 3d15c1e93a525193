"""What is checked: each check returns its figure, raises Failed with it, or Skipped with the reason."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable

import numpy as np
import torch

from benchmarks.smoke.session import Failed, Session, Skipped
from benchmarks.smoke.waits import waits_of_a_step
from benchmarks.timings.steps import Machine
from datasets.core.splits import load_split
from datasets.kitti.layout import KittiRaw
from depth.options.dejavu import DejaVuOptions
from depth.prediction.api import load_model
from depth.prediction.pictures import read_picture, resize_picture

FLOAT32, BFLOAT16, REFERENCE = "float32", "bfloat16", "reference"
_DEJAVU = ("--dejavu", "--lpips_weights", "random", "--perceptual", "lpips", "--dejavu_warmup", 0, "--dejavu_ramp", 0)
_MORE_STEPS = 5
# The largest relative difference of a step's loss to the CPU's: of the first step, and of all of them. The first shows
# only rounding, and the noise that decides ties of the auto-mask: 1e-7 with another noise, 7e-5 and 4e-4 with bfloat16
# networks, measured on a CPU at two sizes. Then trainings part: Adam makes a whole step, of either sign, of a gradient
# that is nearly nothing. Over 20 steps on a CPU they were 0.0065 apart with another noise, 0.0074 with another library
# of convolutions (oneDNN off), 0.051 with bfloat16 networks; three to four times that is allowed.
TOLERANCE = {FLOAT32: (1e-4, 0.03), BFLOAT16: (2e-3, 0.15)}
# Of a depth. GPUs round what convolutions multiply to TF32; done so on a CPU, a depth changed by 0.0003.
_DEPTH_TOLERANCE = 0.003
_MOST_WAITS = 1  # to ask whether the step was finite


def first_steps(session: Session, name: str, *flags: object, **how: object) -> str:
    """A training with its validation and checkpoints."""
    said = session.train(name, *flags, **how)
    losses = session.losses(name)
    if not all(map(math.isfinite, losses)):
        raise Failed(f"losses {losses}")
    kept = [path.name for path in sorted((session.run(name) / "checkpoints").glob("*.pt"))]
    if "validation photometric" not in said or not {"best.pt", "last.pt"} <= {*kept}:
        raise Failed(f"no validation, or no checkpoint of both kinds: {' '.join(kept)}")
    return f"loss {losses[0]:.4f} to {losses[-1]:.4f}, validation and checkpoints, {session.speed(name):.1f} images/s"


def training(precision: str) -> Callable[[Session], str]:
    """A plain training; its convolutions in true float32, where it is to be compared with the CPU's."""
    exact = {"NVIDIA_TF32_OVERRIDE": "0"} if precision == FLOAT32 else None
    return lambda session: first_steps(session, precision, "--precision", precision, environment=exact)


def curve(precision: str) -> Callable[[Session], str]:
    """The losses of a training against the CPU's."""

    def check(session: Session) -> str:
        if REFERENCE not in session.runs:
            session.train(REFERENCE, "--precision", FLOAT32, device="cpu")
        expected, found = (np.array(session.losses(name)) for name in (REFERENCE, precision))
        apart, (first, largest) = np.abs(found / expected - 1), TOLERANCE[precision]
        figure = (
            f"{apart[0]:.1e} apart at the first step (allowed {first:g}), at most {apart.max():.1e}, at step "
            f"{apart.argmax() + 1} of {session.steps} (allowed {largest:g})"
        )
        if not (apart[0] <= first and apart.max() <= largest):
            raise Failed(figure)
        return figure

    return check


def dejavu(session: Session) -> str:
    """DejaVu, in the precision that is the default here."""
    return first_steps(session, "dejavu", *_DEJAVU)


def compiled(session: Session) -> str:
    """--compile."""
    if not session.gpu:
        raise Skipped("minutes of compiling on a CPU")
    return first_steps(session, "compiled", "--compile")


def two_processes(session: Session) -> str:
    """torchrun, each process on a card of its own."""
    if session.gpu and torch.cuda.device_count() < 2:
        raise Skipped("one card")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", 2]
    # Without its number: "cuda" is each process's own card.
    return first_steps(session, "two processes", *_DEJAVU, launcher=launcher, device=session.device.type)


def resume(session: Session) -> str:
    """A run goes on from its last checkpoint."""
    steps = session.steps + _MORE_STEPS
    flags = ["--resume", session.run("dejavu"), "--max_steps", steps, "--device", session.device]
    session.command("resume", [sys.executable, "train.py", *flags])
    if session.step_of("dejavu") != steps:
        raise Failed(f"stands at step {session.step_of('dejavu')} and not {steps}")
    return f"from step {session.steps} to {steps}"


def evaluate(session: Session) -> str:
    """evaluate_depth.py on the test drive."""
    flags = ["--load_weights_folder", session.run(FLOAT32), "--data_path", session.world, "--eval_split", "synthetic"]
    session.command("evaluate", [sys.executable, "evaluate_depth.py", *flags, "--device", session.device])
    record = json.loads((session.run(FLOAT32) / "evaluation_synthetic" / "metrics.json").read_text())
    value = record["metrics"]["abs_rel"]
    if not 0 < value < 2:
        raise Failed(f"abs_rel {value}")
    return f"abs_rel {value:.3f} on {record['images']} images"


def predict(session: Session) -> str:
    """predict.py on an image, against the CPU."""
    image = _picture(session)
    out = session.folder / "predictions"
    flags = ["--checkpoint", session.run(FLOAT32), "--out", out, "--device", session.device]
    session.command("predict", [sys.executable, "predict.py", image, *flags])
    found = np.load(out / f"{image.stem}_depth.npy", allow_pickle=False)
    return _close(found, load_model(session.run(FLOAT32), "cpu").predict(image).depth, "depth")


def export(session: Session) -> str:
    """depth.export's TorchScript file, run on the device, against the CPU."""
    run = session.run(FLOAT32)
    session.command("export", [sys.executable, "-m", "depth.export", run, "--format", "torchscript"])
    image = resize_picture(read_picture(_picture(session)), session.height, session.width)[None]
    net = torch.jit.load(run / "model.torchscript.pt", map_location=session.device)
    with torch.no_grad():
        found = net(image.to(session.device).float() / 255)[0, 0].cpu().numpy()
    return _close(found, load_model(run, "cpu").inverse_depth(image)[0], "inverse depth")


def waits(session: Session) -> str:
    """How often a step makes the host wait."""
    if not session.gpu:
        raise Skipped("counted on a GPU alone")
    machine = Machine(session.device, session.height, session.width, session.batch_size, 18, True, False)
    found = {"plain": waits_of_a_step(machine, DejaVuOptions())}
    for edit in ("bandstop", "blocks"):
        found[edit] = waits_of_a_step(machine, DejaVuOptions(dejavu=True, edit=edit, lpips_weights="random"))
    figure = ", ".join(f"{len(places)} {name}" for name, places in found.items())
    if max(map(len, found.values())) > _MOST_WAITS:
        places = sorted({place for each in found.values() for place in each})
        raise Failed(f"{figure} (allowed {_MOST_WAITS}): {' '.join(places)}")
    return f"{figure} (allowed {_MOST_WAITS}, to ask whether the step was finite)"


def _picture(session: Session):
    """The first image of the test drive."""
    return KittiRaw(session.world).image_path(load_split(session.world / "splits", "test")[0])


def _close(found: np.ndarray, expected: np.ndarray, what: str) -> str:
    apart = float(np.abs(found / expected - 1).max())
    figure = f"largest relative difference of {what} to the CPU's {apart:.1e} (allowed {_DEPTH_TOLERANCE:g})"
    if not apart <= _DEPTH_TOLERANCE:
        raise Failed(figure)
    return figure


CHECKS: dict[str, Callable[[Session], str]] = {
    "training, float32": training(FLOAT32),
    "training, bfloat16": training(BFLOAT16),
    "losses against the CPU's, float32": curve(FLOAT32),
    "losses against the CPU's, bfloat16": curve(BFLOAT16),
    "training, DejaVu": dejavu,
    "training, two processes": two_processes,
    "waits of a step": waits,
    "resume": resume,
    "evaluation": evaluate,
    "prediction": predict,
    "export": export,
    "training, compiled": compiled,
}
