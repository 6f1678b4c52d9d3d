"""What is released: one version everywhere, and distributions that hold what they must."""

import datetime
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser

import pytest
import yaml
from conftest import PROJECT

import kdefrost

CITATION = yaml.safe_load((PROJECT / "CITATION.cff").read_text())
CHANGES = (PROJECT / "docs" / "CHANGELOG.md").read_text()
RELEASED = re.findall(r"^## \[(.+)\] - (.+)$", CHANGES, re.MULTILINE)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The source distribution, and the wheel that is built from it and nothing else."""
    folder = tmp_path_factory.mktemp("built")
    junk = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist", "runs", "saved_models")
    # A build writes into the tree that it is run in.
    shutil.copytree(PROJECT, folder / "tree", ignore=junk)
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist", folder / "tree"]
    subprocess.run(build, check=True, capture_output=True)
    (source,), (wheel,) = (folder / "dist").glob("*.tar.gz"), (folder / "dist").glob("*.whl")
    return source, wheel


def test_the_changes_and_the_citation_are_of_this_version():
    assert RELEASED[0] == (kdefrost.__version__, CITATION["date-released"])
    assert CITATION["version"] == kdefrost.__version__


def test_versions_come_in_order():
    numbers = [tuple(map(int, version.split("."))) for version, _ in RELEASED]
    days = [datetime.date.fromisoformat(day) for _, day in RELEASED]
    assert numbers == sorted(set(numbers), reverse=True) and days == sorted(days, reverse=True)
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.+)$", CHANGES, re.MULTILINE)) <= kinds


def test_the_citation_has_what_its_format_asks_for_and_the_paper():
    """By the schema of version 1.2.0: https://github.com/citation-file-format/citation-file-format."""
    assert {"cff-version", "message", "title", "authors"} <= CITATION.keys()
    assert CITATION["cff-version"] == "1.2.0" and CITATION["type"] == "software"
    assert CITATION["license"] == "Apache-2.0" and datetime.date.fromisoformat(CITATION["date-released"])
    (paper,) = CITATION["references"]
    assert {"type", "title", "authors"} <= paper.keys()
    names = [author["family-names"] for author in paper["authors"]]
    assert names == ["Gerace", "Doimo", "Sarao Mannelli", "Saglietti", "Laio"]
    assert paper["url"] == "https://arxiv.org/abs/2303.01429" and paper["year"] == 2023


def test_the_wheel_holds_the_package_and_says_what_it_is(built):
    with zipfile.ZipFile(built[1]) as wheel:
        files = {name for name in wheel.namelist() if ".dist-info/" not in name}
        (about,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
        (licence,) = (name for name in wheel.namelist() if name.endswith("/licenses/LICENSE"))
        metadata, licence = Parser().parsestr(wheel.read(about).decode()), wheel.read(licence)
    roots = {"kdefrost": PROJECT, "kdefrost_commands": PROJECT / "scripts" / "program"}
    package = {f"{path.relative_to(root)}" for part, root in roots.items() for path in (root / part).rglob("*.py")}
    assert files >= package | {"kdefrost/py.typed"}
    assert not {name for name in files if name.startswith(("tests", "docs", "scripts"))}
    assert (metadata["Name"], metadata["Version"]) == ("kdefrost", kdefrost.__version__)
    assert metadata["Author"] == "The kdefrost maintainers" and metadata["License"] == "Apache-2.0"
    assert licence == (PROJECT / "LICENSE").read_bytes()
    assert metadata.get_payload().strip() == (PROJECT / "README.md").read_text().strip()


def test_the_source_distribution_can_be_tested_and_read(built):
    with tarfile.open(built[0]) as source:
        files = {name.partition("/")[2] for name in source.getnames()}
    top = ["README.md", "LICENSE", "CITATION.cff", "mkdocs.yml", "setup.cfg", "pyproject.toml", "kdefrost/py.typed"]
    shown = re.findall(r"\]\((docs/[^)#]+)", (PROJECT / "README.md").read_text())
    parts = [f"{path.relative_to(PROJECT)}" for part in ("tests", "scripts") for path in (PROJECT / part).rglob("*.py")]
    assert shown and files >= {*top, *shown, *parts}
    assert not {name for name in files if name.endswith(".pyc") or "/." in name}


def test_an_index_takes_the_distributions(built):
    check = subprocess.run([sys.executable, "-m", "twine", "check", "--strict", *built], capture_output=True, text=True)
    assert check.returncode == 0, check.stdout + check.stderr
