"""The rooms import in one direction: CONTRIBUTING's table says what each may import, and this holds it."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
SOURCES = sorted(f for folder in ("depth", "datasets") for f in (ROOT / folder).rglob("*.py"))


def read_table() -> dict[str, set[str]]:
    """Room -> the rooms it may import, in CONTRIBUTING's order; names in a row begin at its own top folder."""
    table = {}
    for rooms, imports in re.findall(r"^\| (`(?:depth|datasets)/.*?`) \|[^|]*\|([^|]*)\|$", TEXT, re.MULTILINE):
        for room in _names(rooms):
            top = room.partition("/")[0]
            table[room] = {name if name.startswith("depth/") else f"{top}/{name}" for name in _names(imports)}
    return table


def _names(cell: str) -> list[str]:
    return re.findall(r"`([\w./]+)`", cell)


TABLE = read_table()


def room_of(module: str) -> str:
    """The row of the table that a module belongs to: its folder, or itself where it stands alone."""
    first, *rest = module.split(".")
    folder = "/".join([first, *rest[:1]])
    return f"{folder}/" if (ROOT / folder).is_dir() and rest else f"{folder}.py" if rest else f"{first}/__init__.py"


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports_of(path: Path) -> set[str]:
    """Modules of the project that a file imports, or names in a table of parts ("module:constructor")."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= (
                {node.module}
                if node.module not in ("depth", "datasets")
                else {f"{node.module}.{alias.name}" for alias in node.names}
            )
        elif isinstance(node, ast.Constant) and re.fullmatch(r"(depth|datasets)[\w.]+:\w+", str(node.value)):
            found.add(node.value.partition(":")[0])
    return {name for name in found if name.split(".")[0] in ("depth", "datasets")}


def test_table_names_every_room_once():
    assert set(TABLE) == {room_of(module_of(path)) for path in SOURCES if module_of(path) not in ("depth", "datasets")}


def test_table_is_seen_at_a_glance():
    house = TEXT[TEXT.index("## The house") :]
    assert sum(line.startswith("|") for line in house.splitlines()) <= 25


def test_table_points_up():
    """A room imports rooms that stand above it in the table, so there is no circle."""
    order = list(TABLE)
    for room, imports in TABLE.items():
        assert imports <= set(order[: order.index(room)]), f"{room}: {imports - set(order[: order.index(room)])}"
        assert room.startswith("datasets") or not any(name.startswith("datasets") for name in imports)


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_imports_follow_the_table(path):
    module = module_of(path)
    if module == "depth":
        # The front door, which opens when somebody calls it: see test_api.test_import_is_cheap.
        assert imports_of(path) == {"depth.prediction.api", "depth.prediction.tasks"}
        return
    rooms = {room_of(name) for name in imports_of(path)}
    assert rooms <= TABLE.get(room_of(module), set()) | {room_of(module)}, f"{module}: {rooms}"


@pytest.mark.parametrize("room", [room for room in TABLE if room.endswith("/")])
def test_rooms_say_the_same_of_themselves(room):
    """The docstring of a room's __init__ ends with what it may import."""
    text = ast.get_docstring(ast.parse((ROOT / room / "__init__.py").read_text()))
    assert text, f"{room} says nothing of itself"
    said = re.search(r"May import: (.*)\.", text.replace("\n", " "))
    assert said and set(re.findall(r"[\w./]+", said[1])) - {"nothing"} == {name.rstrip("/") for name in TABLE[room]}


def test_options_stay_out_of_the_rooms_that_compute():
    for room in ("depth/networks/", "depth/losses/", "depth/dejavu/", "depth/geometry.py", "depth/objective.py"):
        assert "depth/options/" not in TABLE[room]


@pytest.mark.parametrize("path", [*SOURCES, *ROOT.glob("*.py")], ids=module_of)
def test_underscored_names_stay_in_their_room(path):
    mine = room_of(module_of(path))
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] in ("depth", "datasets"):
            private = [alias.name for alias in node.names if alias.name.startswith("_")]
            private += [part for part in node.module.split(".") if part.startswith("_")]
            assert not private or room_of(node.module) == mine, f"{path.name} imports {private} of {node.module}"


def test_house_has_no_long_file_and_no_long_function():
    files = [f for f in ROOT.rglob("*.py") if ".venv" not in f.parts]
    long = [f"{f.relative_to(ROOT)}: {n} lines" for f in files if (n := f.read_text().count("\n")) > 250]
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno >= 40:
                long.append(f"{file.relative_to(ROOT)}: {node.name}, {node.end_lineno - node.lineno + 1} lines")
    assert not long
