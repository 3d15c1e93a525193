"""The options of app.py."""

from __future__ import annotations

from dataclasses import dataclass

from depth.options.fields import CheckpointChoice, Text, check


@dataclass(frozen=True)
class PageOptions:
    """Options of app.py: which model, and how much of it at a time."""

    checkpoint: Text = None
    """A run, a checkpoint file, or an original Monodepth2 folder. Default: the newest run in --log_dir."""
    checkpoint_choice: CheckpointChoice = "last"
    """Which of a run's checkpoints: the last, or the best on validation. The regeneration module is the last one's in
    both cases: nothing else holds it."""
    log_dir: str = "runs"
    """Folder of the runs."""
    port: int = 7860
    """Of the page, on this machine alone; 0 takes a free one."""
    max_megabytes: float = 64.0
    """Larger files are refused."""
    max_frames: int = 24
    """Frames of a clip that are shown, spread over it."""
    device: Text = None
    """cuda, cuda:1, mps or cpu. Default: cuda if there is one."""

    def __post_init__(self) -> None:
        check(0 <= self.port < 65536, f"--port {self.port} is not a port")
        check(self.max_megabytes > 0, "--max_megabytes is above 0")
        check(self.max_frames > 0, "--max_frames is above 0")
