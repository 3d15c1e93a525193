"""Pictures and videos of noise, predict.py called on them, and what it left."""

import cv2
import numpy as np

from depth.options.predict import PredictOptions
from predict import load, predict


def noise_picture(seed, height=40, width=60):
    """uint8 (height,width,3)."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def noise_folder(path, sizes=((40, 60),) * 5):
    """A folder of 0.png, 1.png, ... of these (height, width)."""
    path.mkdir()
    for index, (height, width) in enumerate(sizes):
        cv2.imwrite(str(path / f"{index}.png"), noise_picture(index, height, width))
    return path


def noise_video(path, frames):
    """So many frames of 64x48, 12.5 a second."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 12.5, (64, 48))
    for index in range(frames):
        writer.write(noise_picture(index, 48, 64))
    writer.release()
    return path


def run_predict(run_folder, tmp_path, *inputs, **options):
    """predict.py on these inputs, into tmp_path/out: its summary."""
    given = {"checkpoint": str(run_folder), "out": str(tmp_path / "out"), "device": "cpu", "batch_size": 2}
    chosen = PredictOptions(inputs=tuple(map(str, inputs)), **given | options)
    return predict(chosen, load(chosen))


def names_in(folder):
    """Sorted names of the files."""
    return sorted(path.name for path in folder.iterdir())


def read_video(video):
    """All frames, BGR, and frames a second."""
    capture, frames = cv2.VideoCapture(str(video)), []
    while (frame := capture.read())[0]:
        frames.append(frame[1])
    return frames, capture.get(cv2.CAP_PROP_FPS)
