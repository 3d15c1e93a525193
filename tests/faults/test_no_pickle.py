"""Nothing that a user was sent is unpickled: every call that could is told not to."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
SAFE = {("torch", "load"): ("weights_only", True), ("np", "load"): ("allow_pickle", False)}
NEVER = {("pickle", "load"), ("pickle", "loads"), ("yaml", "load"), ("shutil", "unpack_archive")}


def faults_in(source):
    """Lines of calls that may run code from a file."""
    for call in ast.walk(ast.parse(source)):
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
            continue
        name = (getattr(call.func.value, "id", ""), call.func.attr)
        given = {k.arg: getattr(k.value, "value", None) for k in call.keywords}
        unsafe = name in SAFE and given.get(SAFE[name][0]) is not SAFE[name][1]
        if unsafe or name in NEVER or name[1] in ("extractall", "Unpickler"):
            yield call.lineno


def test_the_rule_finds_what_it_forbids():
    bad = "torch.load(f)\nnp.load(f, allow_pickle=True)\npickle.loads(b)\narchive.extractall(d)\nyaml.load(t)\n"
    good = "torch.load(f, weights_only=True)\nnp.load(f, allow_pickle=False)\njson.load(f)\n"
    assert list(faults_in(bad)) == [1, 2, 3, 4, 5] and not list(faults_in(good))


def test_no_file_of_the_project_unpickles():
    files = [
        *ROOT.glob("*.py"),
        *(f for folder in ("depth", "datasets", "benchmarks") for f in ROOT.glob(f"{folder}/**/*.py")),
    ]
    assert len(files) > 80
    found = [f"{file.relative_to(ROOT)}:{line}" for file in files for line in faults_in(file.read_text())]
    assert found == []
