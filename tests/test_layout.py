"""How the package is laid out: imports without a circle, rooms that know what they may, maps that name every file."""

import ast
import configparser
import graphlib
import re

import pytest
from conftest import FIRST, PROJECT
from setuptools import find_packages

PACKAGE, COMMANDS = PROJECT / "kdefrost", PROJECT / "scripts" / "program" / "kdefrost_commands"
FOLDERS = sorted(path.parent for path in PACKAGE.glob("*/__init__.py"))
# Longer than a reader takes in at a time, and why.
LONG = {"defroster.py": "what users call, whose arguments are documented once, there"}


def _files() -> dict:
    """All files by the names by which they are imported."""
    files = {}
    for path in PACKAGE.rglob("*.py"):
        name = ".".join(path.relative_to(PROJECT).with_suffix("").parts)
        files[name.removesuffix(".__init__")] = path
    return files


FILES = _files()


def _imports(path) -> set[str]:
    """The files of kdefrost that one imports, wherever in it."""
    imported, tree = set(), ast.parse(path.read_text())
    # What is read by checkers of types alone is never imported.
    unread = [node for node in ast.walk(tree) if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    skipped = {part for node in unread for part in ast.walk(node)}
    for node in set(ast.walk(tree)) - skipped:
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports by a relative name"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            imported |= {name if name in FILES else node.module for name in names}
        elif isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
    return {name for name in imported if name.split(".")[0] == "kdefrost"}


IMPORTS = {name: _imports(path) for name, path in FILES.items()}


def _package(name: str) -> str:
    """The package of a file of kdefrost, or its own name where it is in none."""
    return ".".join(name.split(".")[:2])


def _reached_from(name: str) -> set[str]:
    """What a file imports, and what that imports, and so on."""
    reached, to_go = set(), [name]
    while to_go:
        new = IMPORTS[to_go.pop()] - reached
        reached |= new
        to_go += new
    return reached


def _packages(imports: dict) -> dict[str, set[str]]:
    """What each package imports of others, from what each file does."""
    packages = {_package(name): set() for name in imports}
    for name, imported in imports.items():
        packages[_package(name)] |= {_package(other) for other in imported} - {_package(name)}
    return packages


def _in_order(imports: dict) -> list[str]:
    """All names, each after what it imports; a circle is an error."""
    return list(graphlib.TopologicalSorter(imports).static_order())


def test_no_files_import_each_other_in_a_circle():
    assert set(_in_order(IMPORTS)) == FILES.keys()


def test_no_packages_import_each_other_in_a_circle():
    order = _in_order(_packages(IMPORTS))
    assert order.index("kdefrost.data") < order.index("kdefrost.trials") < order.index("kdefrost.profile")


def test_a_circle_is_found():
    with pytest.raises(graphlib.CycleError):
        _in_order({**IMPORTS, "kdefrost.files": {"kdefrost.results"}})
    # Of packages alone: no file imports any that imports it.
    imports = {**IMPORTS, "kdefrost.data.new": {"kdefrost.cutting.new"}, "kdefrost.cutting.new": set()}
    assert set(_in_order(imports)) == imports.keys()
    with pytest.raises(graphlib.CycleError):
        _in_order(_packages(imports))


# Rooms of docs/architecture.md: what never comes to know of what, by whatever way.
SAYING = r"(profile|compliance|similarity|clones|transferability)\.(result|words|figures|comparison|agreement)"
ASKING = r"trials\.(engine|executors|worker|tails|asking)"
ROOMS = {
    "asking and remembering know not why they are asked": (
        r"trials(\..+)?",
        r"(profile|compliance|similarity|clones|sources|defroster|inquiry|settings|export|results|transferability)(\..+)?",
    ),
    "policies neither train nor look into files": (
        r"(profile|compliance)\.policy",
        rf"{ASKING}|trials\.(store|database|presence)|files|training\.(fitting|batches)",
    ),
    "results and what is said of them train nothing": (
        rf"{SAYING}|profile\.notebook|reporting(\..+)?|results|statistics|tables|drawing|export|card|signature",
        rf"{ASKING}|training\.(fitting|batches)|defroster|inquiry",
    ),
    "data stand alone": (r"data(\..+)?", r"(?!(data\b|arguments$)).+"),
    "what all use uses nothing": (r"arguments|devices|progress|statistics|tables", r".+"),
    "files know what a path is": (r"files", r"(?!arguments$).+"),
}


@pytest.mark.parametrize(("room", "unknown"), ROOMS.values(), ids=ROOMS)
def test_rooms_know_what_they_may(room, unknown):
    here = [name for name in FILES if re.fullmatch(room, name.removeprefix("kdefrost."))]
    known = {name: {other.removeprefix("kdefrost.") for other in _reached_from(name)} for name in here}
    assert known
    assert not {
        f"{name} comes to import {other}" for name in here for other in known[name] if re.fullmatch(unknown, other)
    }


@pytest.mark.parametrize("folder", [PACKAGE, COMMANDS, *FOLDERS], ids=lambda folder: folder.name)
def test_a_packages_docstring_names_each_of_its_files(folder):
    map_of_it = ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))
    named = re.findall(r"^ *(\w+) {2,}\S", map_of_it, re.MULTILINE)
    files = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert sorted(named) == sorted(files | {path.parent.name for path in folder.glob("*/__init__.py")})


def test_files_are_short():
    lengths = {path: len(path.read_text().splitlines()) for path in [*FILES.values(), *COMMANDS.glob("*.py")]}
    assert {path for path, length in lengths.items() if length > 300} == {PACKAGE / name for name in LONG}, lengths


def test_nothing_knows_of_the_commands():
    assert not {name for name, path in FILES.items() if COMMANDS.name in path.read_text()}


def test_every_package_is_installed():
    settings = configparser.ConfigParser()
    settings.read(PROJECT / "setup.cfg")
    there = [*find_packages(str(PROJECT), include=["kdefrost*"]), *find_packages(str(COMMANDS.parent))]
    assert settings["options"]["packages"].split() == sorted(there)


def test_tests_lie_where_what_they_test_does():
    folders = {path.parent.name for path in (PROJECT / "tests").glob("*/test_*.py")}
    assert folders == {folder.name for folder in FOLDERS} | {"scripts"}


@pytest.mark.parametrize("page", ["models.md", "reliability.md"])
def test_a_page_of_promises_names_tests_that_are_there(page):
    text = (PROJECT / "docs" / page).read_text()
    named = set(re.findall(r"`((?:\w+/)?test_\w+)`", text))
    assert named and all((PROJECT / "tests" / f"{name}.py").exists() for name in named)


def test_files_of_tests_that_come_first_are_there():
    assert set(FIRST) <= {path.name for path in (PROJECT / "tests").rglob("test_*.py")}
