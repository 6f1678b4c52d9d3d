"""Whether what figures keep fits the disks: networks, clones and autoencoders in one folder, best tails in another."""

import dataclasses
import glob
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from kdefrost.clones.making import bottleneck, is_clone, resolved
from kdefrost.inventory import MANIFEST
from kdefrost.paper.experiments import Figure
from kdefrost.paper.planning import Costs
from kdefrost.paper.scales import Scale
from kdefrost.paper.work import Work, work_of
from kdefrost.profile.best_tails import tail_path


class Kept(NamedTuple):
    """Something that figures need kept.

    Attributes:
        kind: The sub-folder.
        name: What its folder's name begins with.
        facts: What its manifest says.
        bytes: What it takes.
    """

    kind: str
    name: str
    facts: dict
    bytes: int

    def is_in(self, folder: Path) -> bool:
        """Whether it is kept in a folder already."""
        return any(_says(path, self.facts) for path in (folder / self.kind).glob(f"{glob.escape(self.name)}-????????"))


def check_disk(figures: Iterable[Figure], scale: Scale, kept: str | os.PathLike, out: str | os.PathLike):
    """Refuses to begin what does not fit the disks.

    Args:
        figures: Figures as the preset runs them, of `Scale.figure`.
        scale: The preset.
        kept: Folder in which sources, autoencoders and clones are kept, which need not be there. What of these is in
            it is not counted.
        out: Folder of the preset's run folders, in which best tails are kept, likewise.

    Raises:
        ValueError: If less is free than what is not there yet will take.
    """
    work, costs = work_of(figures, scale), Costs(scale)
    kept, out = Path(kept).absolute(), Path(out).absolute()
    of_kept = sum(each.bytes for each in _needed(work, costs, scale) if not each.is_in(kept))
    of_tails = sum(
        costs.tail(run)
        for run in work.runs
        for size, _ in run.repeats
        if not tail_path(out / run.folder(scale), size).exists()
    )
    # Both may be on one disk.
    needed = {}
    for folder, size in ((kept, of_kept), (out, of_tails)):
        disk = _there(folder).stat().st_dev
        needed[disk] = needed.get(disk, 0) + size
    for folder in (kept, out):
        there = _there(folder)
        free = shutil.disk_usage(there).free
        if needed[there.stat().st_dev] > free:
            raise ValueError(
                f"Sources and clones would take {of_kept / 1e9:.1f} GB more in {kept}, best tails "
                f"{of_tails / 1e9:.1f} GB in {out}, and {free / 1e9:.1f} GB are free: make room in {there}, take "
                "fewer figures by --figure, or the preset smoke or laptop."
            )


def _there(folder: Path) -> Path:
    """A folder, or what is there of the path to it."""
    return next(part for part in (folder, *folder.parents) if part.exists())


def _needed(work: Work, costs: Costs, scale: Scale) -> Iterator[Kept]:
    """All that some work keeps apart from its trials."""
    original = scale.names.get("cifar10", "cifar10")
    recipe = json.loads(json.dumps(dataclasses.asdict(scale.source)))
    for name, seed in work.networks:
        origin, made_of = (f"{name}-{original}", _clone_facts(name, scale)) if is_clone(name) else (name, None)
        facts = {"source": name, "model": scale.model, "recipe": recipe, "seed": seed, "clone": made_of}
        yield Kept("sources", f"{origin}-{scale.model}", facts, costs.network.kept)
    for name in work.clones:
        facts = _clone_facts(name, scale)
        yield Kept("clones", f"{name}-{original}", facts, costs.clone(name).kept)
        if bottleneck(name) is not None:
            yield Kept("autoencoders", f"{name}-{original}", facts["autoencoder"], costs.autoencoder(name).kept)


def _clone_facts(name: str, scale: Scale) -> dict:
    """What the manifest of a clone says, as far as it is known without the data."""
    if bottleneck(name) is None:
        return {"clone": name, "seed": 0, "autoencoder": None}
    recipe = json.loads(json.dumps(dataclasses.asdict(resolved(scale.autoencoder))))
    return {"clone": name, "seed": 0, "autoencoder": {"recipe": recipe, "seed": 0}}


def _says(folder: Path, facts: dict) -> bool:
    """Whether a folder's manifest says so; one that is damaged says nothing."""
    try:
        return _has(json.loads((folder / MANIFEST).read_text(encoding="utf-8")), facts)
    except (OSError, ValueError, RecursionError):
        return False


def _has(told, facts) -> bool:
    """Whether all facts are among what is told."""
    if not isinstance(facts, dict):
        return told == facts
    return isinstance(told, dict) and all(name in told and _has(told[name], fact) for name, fact in facts.items())
