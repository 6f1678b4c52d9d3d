"""Makes the pages of the site, which Zensical builds: `python docs/pages.py && zensical build --strict`.

The site is laid out as the project is, README.md at its top and these pages in `docs`, so that each link is right in
both places. Beside them is a page for each package with the public names that its `__init__` lists.
"""

import re
import shutil
from pathlib import Path

import griffe

PROJECT = Path(__file__).resolve().parent.parent
PAGES = PROJECT / "build" / "pages"


def packages() -> list[str]:
    """The packages that have public names, kdefrost itself first."""
    folders = sorted(path.parent for path in (PROJECT / "kdefrost").rglob("__init__.py"))
    return [".".join(folder.relative_to(PROJECT).parts) for folder in folders]


def lay_out(folder: Path = PAGES):
    """Writes all pages into a folder, in the place of those that were there."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(PROJECT / "docs", folder / "docs", ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    shutil.copy(PROJECT / "README.md", folder)
    (folder / "api").mkdir()
    for package in packages():
        (folder / "api" / f"{package}.md").write_text(f"# {package}\n\n::: {package}\n")


class Docstrings(griffe.Extension):
    """Has docstrings in the style of Keras read as Markdown, and what is bound to results shown as their methods."""

    def on_object(self, *, obj: griffe.Object, **_):
        """Called for everything that is read."""
        if obj.docstring:
            obj.docstring.value = as_markdown(obj.docstring.value)

    def on_package(self, *, pkg: griffe.Module, **_):
        """Called when all of a package is read."""
        # A function of its module's name, which hides it here and not in Python.
        for name, module in pkg.members.items():
            if not module.is_alias and module.is_module and name in module.members:
                pkg.members[name] = griffe.Alias(name, module.members[name], parent=pkg)
        for each in _classes(pkg):
            for name, member in each.members.items():
                # Bound in the class itself: what `__init__` takes from elsewhere is no method.
                if (
                    isinstance(getattr(member, "value", None), griffe.ExprAttribute)
                    and "class-attribute" in member.labels
                ):
                    path = member.value.canonical_path.removeprefix(f"{pkg.name}.")
                    if path.startswith(tuple(pkg.members)) and (found := pkg[path]).is_function:
                        each.members[name] = _method(found, name, each)


def as_markdown(docstring: str) -> str:
    """Puts fences around examples at prompts and around the maps of packages, and heads examples."""
    docstring = re.sub(r"^Example:$", "**Example**", docstring, flags=re.MULTILINE)
    docstring = re.sub(r"(?:^>>> .*\n?(?:.+\n?)*)", _fenced("pycon"), docstring, flags=re.MULTILINE)
    return re.sub(r"(?:^ *\w+ {2,}\S.*\n?){2,}", _fenced("text"), docstring, flags=re.MULTILINE)


def _fenced(language: str):
    return lambda found: f"```{language}\n{found[0].rstrip()}\n```\n"


def _classes(module: griffe.Module):
    for member in list(module.members.values()):
        if not member.is_alias and member.is_class:
            yield member
        elif not member.is_alias and member.is_module:
            yield from _classes(member)


def _method(function: griffe.Function, name: str, owner: griffe.Class) -> griffe.Function:
    """A function whose first argument is the result, as a method of that."""
    arguments = griffe.Parameters(*list(function.parameters)[1:])
    method = griffe.Function(name, parameters=arguments, returns=function.returns, parent=owner)
    method.docstring = function.docstring
    return method


if __name__ == "__main__":
    lay_out()
