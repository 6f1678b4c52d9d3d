"""The site of the pages in `docs` and of the public interface: built with warnings as errors, every link followed."""

import html.parser
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest
from conftest import PROJECT

sys.path.append(str(PROJECT / "docs"))

import pages


class _Page(html.parser.HTMLParser):
    """What a page links to, and the names of the places in it."""

    def __init__(self, path: Path):
        super().__init__()
        self.links, self.places = [], set()
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.links += [urlparse(attributes[name]) for name in ("href", "src") if attributes.get(name)]
        self.places.add(attributes.get("id"))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the site; the build writes beside what it reads."""
    folder = tmp_path_factory.mktemp("site")
    for name in ("kdefrost", "docs"):
        shutil.copytree(PROJECT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT / "mkdocs.yml", folder)
    pages.lay_out(folder / "build" / "pages")
    build = [sys.executable, "-m", "zensical", "build", "--strict"]
    done = subprocess.run(build, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    # Docstrings that are not read as they are meant are told, and no warnings to Zensical.
    assert done.returncode == 0 and "griffe:" not in done.stdout, done.stdout
    return folder / "build" / "site"


@pytest.fixture(scope="module")
def built(site):
    return {path: _Page(path) for path in site.rglob("*.html") if path.name != "404.html"}


def test_every_link_leads_somewhere(built):
    lost = []
    for path, page in built.items():
        for link in page.links:
            if link.scheme or link.netloc:
                continue
            target = (path.parent / unquote(link.path)).resolve() if link.path else path
            target = target / "index.html" if target.is_dir() else target
            known = built[target].places if target in built else set()
            if not target.exists() or (link.fragment and link.fragment not in known):
                lost.append(f"{path.parent.name}: {link.geturl()}")
    assert len(built) > 20 and not lost


@pytest.mark.parametrize("package", pages.packages())
def test_a_packages_page_has_all_its_public_names(package, built, site):
    places = built[site / "api" / package / "index.html"].places
    public = import_module(package)
    made = {name for name in public.__all__ if callable(getattr(public, name))}
    assert made and {f"{package}.{name}" for name in made} <= places


def test_what_is_bound_to_results_is_on_their_page(built, site):
    places = built[site / "api" / "kdefrost" / "index.html"].places
    assert {f"kdefrost.DefrostProfile.{name}" for name in ("plot", "summary", "tuning", "save", "best_cut")} <= places


def test_every_page_can_be_chosen(built, site):
    """Each is in the navigation of the first page."""
    reached = {(site / unquote(link.path)).resolve() for link in built[site / "index.html"].links if not link.netloc}
    assert {path.parent for path in built} <= {site, *reached}


def test_docstrings_become_markdown():
    """Keras's style leaves fences out where there are prompts."""
    shown = pages.as_markdown("One.\n\nExample:\n\n>>> f(\n...     1)\n2\n\nTwo.\n\n    files   one\n    kept    two\n")
    assert shown == (
        "One.\n\n**Example**\n\n```pycon\n>>> f(\n...     1)\n2\n```\n\nTwo.\n\n"
        "```text\n    files   one\n    kept    two\n```\n"
    )
