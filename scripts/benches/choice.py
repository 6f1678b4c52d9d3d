"""What ways of choosing a cut are worth, on recorded situations."""

from kdefrost.files import make_folder
from scripts.benches.situations import SITUATIONS


def bench_choice(
    records: str, only: list[str] | None, idc: str | None, mobilenet: str | None, mobilenet_v2: str | None
):
    folder = make_folder(records)
    names = list(SITUATIONS) if only is None else only
    unknown = sorted(set(names) - set(SITUATIONS))
    if unknown:
        raise ValueError(f"--only must name situations ({', '.join(SITUATIONS)}). Received: {', '.join(unknown)}")
    weights = {"MobileNet": mobilenet, "MobileNetV2": mobilenet_v2}
    for name in names:
        if not (folder / f"{name}.json").exists():
            from scripts.benches.recording import record

            print(f"Recording {name}", flush=True)
            record(SITUATIONS[name], folder, idc, weights)
