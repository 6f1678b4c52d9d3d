"""The tour runs from its first cell to its last, as it does for a reader."""

import re

import nbformat
import pytest
from conftest import PROJECT
from nbclient import NotebookClient

TOUR = nbformat.read(PROJECT / "docs" / "tour.ipynb", as_version=4)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """What each cell of code gave, as text, by its first line; figures by their type."""
    tour, folder = nbformat.from_dict(TOUR), tmp_path_factory.mktemp("tour")
    with pytest.MonkeyPatch.context() as patch:
        # The tour writes where it is run, and takes kdefrost from here.
        patch.setenv("PYTHONPATH", str(PROJECT))
        NotebookClient(tour, timeout=180, resources={"metadata": {"path": str(folder)}}).execute()
    said = {}
    for cell in tour.cells:
        if cell.cell_type == "code":
            kinds = [output.get("text") or "".join(map(str, output.data.items())) for output in cell.outputs]
            said[cell.source.partition("\n")[0]] = "\n".join(kinds)
    return said


def test_it_is_kept_without_what_it_gave():
    """Numbers that it gave once would come to differ from those it gives, and figures would grow every change of it."""
    nbformat.validate(TOUR)
    code = [cell for cell in TOUR.cells if cell.cell_type == "code"]
    assert code and not [cell for cell in code if cell.outputs or cell.execution_count is not None]


def test_it_says_where_to_cut_and_draws_it(run):
    (profile,) = (said for line, said in run.items() if line.startswith("defroster = "))
    assert "Freeze the first" in profile and "image/png" in profile and "diverged" not in profile


def test_its_search_costs_less(run):
    (found,) = (said for line, said in run.items() if line.startswith("found = "))
    assert int(re.search(r"took (\d+) % of the full profile's training", found)[1]) <= 50


def test_its_model_knows_new_images(run):
    (model,) = (said for line, said in run.items() if line.startswith("model = "))
    assert float(re.search(r"([\d.]+)% of 180 images", model)[1]) > 80


def test_its_networks_part_towards_their_output(run):
    (similarity,) = (said for line, said in run.items() if line.startswith("other = "))
    imbalance = [float(value) for value in re.findall(r"^ +\d +\w+ +\S+ +([\d.]+)", similarity, re.MULTILINE)]
    assert len(imbalance) == 4 and max(imbalance[:3]) < imbalance[3] / 2 and "image/png" in similarity


def test_its_export_is_the_model(run):
    (export,) = (said for line, said in run.items() if line.startswith("folder = "))
    assert "model_card.md" in export and float(export.split()[-1]) < 1e-5
