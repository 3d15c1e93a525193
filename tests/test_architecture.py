"""The rooms import in one direction (DESIGN: who may import whom)."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
RANKS = {
    "depth.types": 0, "depth.options": 0, "depth.dejavu_options": 0, "depth.config": 0, "depth.cli": 0,
    "depth.host": 0, "depth.quiet": 0, "depth.presets": 0, "depth.files": 0, "depth.describe": 1,
    "depth.geometry": 1, "depth.networks": 1, "depth.dejavu.dct": 1, "depth.distributed": 1,
    "depth.checkpoint": 1, "depth.monodepth2": 1, "depth.run_folder": 1, "depth.pretrained": 1,
    "depth.losses": 2, "depth.dejavu": 2, "depth.protocols": 2, "depth.evaluation": 2,
    "depth.pose_evaluation": 2, "depth.trajectory_plot": 2, "depth.predictors": 2,
    "depth.report": 2, "depth.frame_sheet": 2, "depth.analysis": 2, "depth.compare": 3,
    "depth.objective": 3, "depth.accumulation": 3,
    "depth.build": 4, "depth.trainer": 4, "depth.schedule": 0, "depth.stop_signal": 0, "depth.bad_steps": 4,
    "depth.resuming": 4, "depth.monitor": 4, "depth.validation": 4, "depth.threads": 0,
    "depth.predict_options": 0, "depth.pictures": 1, "depth.pointcloud": 1,
    "depth.api": 5, "depth.scaling": 5, "depth.export": 6, "depth.metric_scale": 6, "depth.prediction_files": 6,
}  # fmt: skip
SOURCES = sorted(f for folder in ("depth", "datasets") for f in (ROOT / folder).rglob("*.py"))


def _module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def _imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module)
    return found


def _rank(module: str) -> int:
    while module not in RANKS:
        if "." not in module:
            return -1 if module == "depth" else pytest.fail(f"{module} has no rank; give it one here")
        module = module.rpartition(".")[0]
    return RANKS[module]


@pytest.mark.parametrize("path", SOURCES, ids=_module)
def test_imports_point_down(path):
    module, imports = _module(path), _imports(path)
    if module.startswith("datasets"):
        inside = {name for name in imports if name.split(".")[0] == "depth"}
        known = {"depth.types", "depth.geometry", "depth.host", "depth.files", "depth.quiet"}
        assert inside <= known, f"{module} imports {inside}"
        return
    assert not any(name.split(".")[0] == "datasets" for name in imports), f"{module} imports datasets"
    if module == "depth":
        # The front door, which opens when somebody calls it: see test_api.test_import_is_cheap.
        assert {name for name in imports if name.startswith("depth")} == {"depth.api"}
        return
    for name in imports:
        if name.startswith("depth."):
            assert _rank(name) <= _rank(module), f"{module} imports {name}, which stands above it"


@pytest.mark.parametrize(
    "path", [f for f in SOURCES if "config" not in f.stem and "options" not in f.stem], ids=_module
)
def test_rooms_take_plain_values(path):
    if _module(path).startswith(("datasets", "depth.networks", "depth.losses", "depth.dejavu", "depth.geometry")):
        assert not {"depth.config", "depth.options", "depth.dejavu_options"} & _imports(path)
