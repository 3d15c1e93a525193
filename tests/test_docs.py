"""What the documents name is there: files, folders, links."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TOPS = "benchmarks|datasets|depth|docs|splits|tests"
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_and_links_are_there(page):
    text = re.sub(r"^```diff.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)  # what is to be added
    named = [ROOT / name for name in re.findall(rf"\b(?:{TOPS})/[\w./-]*?\w\.(?:py|md|json)\b", text)]
    commands = [ROOT / name for name in re.findall(r"(?:python|torchrun) (?:-\S+ )*(\w[\w/]*\.py)", text)]
    links = [page.parent / link for link in re.findall(r"\]\((?!https?:)([^)#]+)", text)]
    assert [str(path.relative_to(ROOT)) for path in {*named, *commands, *links} if not path.resolve().exists()] == []


IMPORTS = re.compile(r"^\s*(?:from depth[\w.]* import [^\n#]+|import depth[\w.]*)", flags=re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_examples_import_is_there(page):
    for block in re.findall(r"^```python$(.*?)^```$", page.read_text(), flags=re.MULTILINE | re.DOTALL):
        exec("\n".join(line.strip() for line in IMPORTS.findall(block)), {})
