"""The pictures of the guide's gallery: `python tests/benchmarks/pictures.py [FOLDER]`.

Trains the whole gallery, and its examples of a cap also without one, in a temporary folder, and
draws what each picture is to show: small PNGs of few colours, by default into
`.github/images/gallery`.
"""

from __future__ import annotations

import argparse
import io
import tempfile
from pathlib import Path

from PIL import Image

from mdncli import config as configs
from mdncli import experiment
from mdncli.commands.plot import plot
from mdncli.commands.sample import SampleRequest, sample
from mdncli.events import ignore

ROOT = Path(__file__).parents[2]
GALLERY = ROOT / "configs" / "gallery"
PICTURES: dict[str, tuple[str, tuple[str, ...]]] = {
    "forward": ("fan", ("forward-l1", "forward-l2")),
    "mean-fails": ("density", ("pytorch-inverse", "pytorch-inverse-mlp")),
    "components": ("components", ("pytorch-inverse",)),
    "cap": ("components", ("scale-cap", "uncapped")),
    "regions": ("regions", ("classification",)),
    "arm": ("pairs", ("multi-target",)),
    "ties": ("pairs", ("multi-output-independent", "multi-output-chain")),
    "marginals": ("marginals", ("multi-output", "multi-output-independent", "multi-output-chain")),
    "truth": ("components", ("two-clusters",)),
    "clusters": ("samples", ("two-clusters", "two-clusters-mlp")),
    "watches": ("violins", ("watches", "watches-mlp")),
    "bands": ("marginals", ("watches-gmm",)),
    "families": ("slices", ("loss-by-family-gaussian", "loss-by-family-student-t")),
}
"""Picture -> the figure that it is, and of which runs."""
TEMPERATURES = "0.1,0.5,1,2"
WIDTH, PIXELS = 1000, 450_000
COLOURS = 128


def main() -> None:
    """Train, draw, shrink."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    default = ROOT / ".github" / "images" / "gallery"
    parser.add_argument("folder", nargs="?", type=Path, default=default, metavar="FOLDER")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    chosen = [configs.load(path) for path in sorted(GALLERY.glob("*.yaml"))]
    chosen.append(
        configs.load(GALLERY / "scale-cap.yaml", ["model.scale.cap=null"], {"name": "uncapped"})
    )
    with tempfile.TemporaryDirectory() as temporary:
        runs = Path(temporary)
        prepared = [experiment.prepare(config, ignore) for config in chosen]
        outcomes = experiment.train(prepared, runs, ignore)
        paths = {config.name: str(o.run.path) for config, o in zip(chosen, outcomes, strict=True)}
        for name, (figure, of) in PICTURES.items():
            (file,) = plot([paths[run] for run in of], [figure], runs, ignore).lines
            shrink(Path(file), folder / f"{name}.png")
        request = SampleRequest(temperatures=TEMPERATURES, grid="-15:15:1000")
        file = sample(paths["keras-sine"], request, runs, ignore).lines[1]
        shrink(Path(file), folder / "temperatures.png")


def shrink(source: Path, target: Path) -> None:
    """Write a picture anew: no larger than a page shows it, of few colours."""
    picture = Image.open(source).convert("RGB")
    width = min(WIDTH, picture.width, round((PIXELS * picture.width / picture.height) ** 0.5))
    height = round(picture.height * width / picture.width)
    small = picture.resize((width, height), Image.Resampling.LANCZOS)
    few = small.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    data = io.BytesIO()
    few.save(data, format="PNG", optimize=True)
    target.write_bytes(data.getvalue())
    print(f"{target}: {len(data.getvalue()) / 1000:.0f} kB, {width} x {height}", flush=True)


if __name__ == "__main__":
    main()
