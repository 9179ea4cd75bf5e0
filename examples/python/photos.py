"""Learns a folder of photos, a class a task, and goes on where a kill has stopped it."""

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from sparcl_compile import Learner

SUFFIXES = (".jpg", ".jpeg", ".png")


def main() -> None:
    """Read the arguments, and learn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("artifact", help="a folder that sparcl-compile has made, of a model for images in colours")
    parser.add_argument("photos", type=Path, help="a folder with one folder of photos for each class")
    parser.add_argument("--state", default="state", help="the folder of what was learned")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seconds", type=float, help="stop after so many; the next run goes on")
    parser.add_argument(
        "--kill-after", type=int, default=0, metavar="STEPS", help="kill this process after so many steps"
    )
    parser.add_argument("--demo", action="store_true", help="be killed after 20 steps, and go on")
    options = parser.parse_args()
    if options.demo:
        arguments = [argument for argument in sys.argv[1:] if argument != "--demo"]
        subprocess.run([sys.executable, __file__, *arguments, "--kill-after", "20"], check=False)
        print("killed; going on")
    learn(options)


def learn(options: argparse.Namespace) -> None:
    """Learn what is not learned yet, and tell how well."""
    with Learner.open(options.artifact, state=options.state) as learner:
        left = options.kill_after

        def show(step: object) -> None:
            nonlocal left
            print(step, flush=True)
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        if learner.under_way:
            print("going on with the task that was under way")
            learner.learn(seconds=options.seconds, progress=show)
        for folder in sorted(path for path in options.photos.iterdir() if path.is_dir()):
            learn_class(learner, folder, options.epochs, show)
        for folder in sorted(options.photos / name for name in learner.classes):
            photos = read(folder)
            print(folder.name, learner.evaluate(photos, [folder.name] * len(photos)).accuracy)


def learn_class(learner: Learner, folder: Path, epochs: int, show: Callable[[object], None]) -> None:
    """Learn the photos of a folder, where they are not learned yet and no task is under way."""
    if folder.name in learner.classes or learner.under_way:
        return
    photos = read(folder)
    learner.learn(photos, [folder.name] * len(photos), epochs=epochs, progress=show)


def read(folder: Path) -> list[np.ndarray]:
    """The photos of a folder, each in its own size: the artifact resizes them."""
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    return [np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("RGB")) for path in files]


if __name__ == "__main__":
    main()
