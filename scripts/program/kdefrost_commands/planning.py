"""What is said of a profile before anything is trained: of its images, and of what it would take."""

from kdefrost_commands import command
from kdefrost_commands.searching import budget_text


def print_sizes(data, trials: dict):
    """Says how many images there are of what."""
    train = "to train and to choose the cut on" if trials.get("folds") else "to train on"
    parts = {train: trials["train"], "to choose the cut on": trials["validation"], "to test on": trials["test"]}
    counts = ", ".join(f"{len(part.labels)} {use}" for use, part in parts.items() if part is not None)
    patients = "" if data.groups is None else "; no patient is in two of these"
    command.say(f"{data.name}: {len(data.classes)} classes, {counts} images{patients}.")


def warn_of_seen_images(source: str, trials: dict):
    """Says where the scores that choose the cut flatter late cuts."""
    from kdefrost.clones import bottleneck

    if bottleneck(source) is not None and trials["validation"] is not None:
        command.say(
            f"The source sees the images that choose the cut, as far as they pass through {source}: their scores "
            "flatter late cuts. Those of the test images do not."
        )


def autoencoder_flops(source: str, data, preset) -> float:
    """Operations that the training of a source's autoencoder takes; 0 where it has none."""
    import kdefrost
    from kdefrost.clones import bottleneck

    if bottleneck(source) is None:
        return 0.0
    whole = kdefrost.cut_points(kdefrost.autoencoder(bottleneck(source), data.image_shape))[0]
    return 3.0 * 2.0 * whole.multiply_adds * preset.autoencoder.epochs * len(data.train.labels)


def print_plan(plan, source, train, source_images: int | None, autoencoder_flops: float, patience=None, budget=None):
    """Prints what would run, with an estimate of the time from a short measurement."""
    from kdefrost import training
    from kdefrost.cutting.cut import output_line
    from kdefrost.cutting.cuts import cut_points
    from kdefrost.cutting.surgery import tail_of
    from kdefrost.models.normalization import FUSED_LAYERS
    from kdefrost.tables import align

    rows = [["cut", "after layer", "trials", "TFLOP", "features", "kept"]]
    for cut in plan.cuts:
        mine = [question for question in plan.questions if question.cut == cut.index]
        work = sum(map(plan.training_flops, mine)) / 1e12
        features, kept = f"{plan.feature_bytes(cut) / 2**20:.1f} MiB", place_text(plan, cut)
        rows.append([str(cut.index), cut.name, str(len(mine)), f"{work:.2f}", features, kept])
    operations = sum(map(plan.flops, plan.questions))
    print(align(rows, left=(1, 5)))
    command.say(output_line(plan.cuts[0]))
    if not plan.questions:
        print("\nAll trials have finished: there is nothing to run.")
        return
    command.say(f"\n{len(plan.questions)} trials, {operations / 1e12:.1f} TFLOP with evaluation. Measuring …")
    start = cut_points(source, features=plan.cuts[0].features)[0]
    whole = tail_of(source, start, output=plan.task.output, substitutes=FUSED_LAYERS)
    recipe = plan.questions[0].recipe
    x, y = (part[: recipe.batch_size] for part in train)
    rate, compilation = training.training_rate(whole, x, y, recipe)
    per_image = 3 * 2 * plan.cuts[0].multiply_adds
    # The features cost one pass forward, a third of a training step. Beside its arithmetic
    # each trial re-initialises, shuffles and evaluates.
    seconds = operations / (rate * per_image) + (plan.trained + plan.evaluated) / (3 * rate)
    tails = {(question.cut, question.recipe) for question in plan.questions}
    seconds += compilation * len(tails) + 0.2 * len(plan.questions)
    command.say(f"This machine trains the whole network at {rate:.0f} images/s ({rate * per_image / 1e9:.0f} GFLOP/s).")
    if autoencoder_flops:
        command.say(f"Autoencoder: {duration(autoencoder_flops / (rate * per_image))}, unless it is kept already.")
    if source_images is not None:
        command.say(f"Source: {duration(source_images / rate)} for {source_images} images, unless it is kept already.")
    most = "" if patience is None else f" at most; earlier cuts are left out after {patience} in a row that are worse"
    if budget is not None:
        most = f"; the search takes at most {budget_text(budget)}"
    command.say(f"Profile: {duration(seconds)}{most}.")


def place_text(plan, cut) -> str:
    """Where the features at a cut are held, in words."""
    held = plan.held_at(cut)
    if not cut.frozen_layers:
        return "the images themselves"
    if held is cut:
        return {"memory": "in memory", "disk": "on disk"}[plan.places[cut.index]]
    at_images = held is None or not held.frozen_layers
    return f"no, again from {'the images' if at_images else f'cut {held.index}'}"


def duration(seconds: float) -> str:
    return f"about {seconds / 60:.0f} min" if seconds > 90 else f"about {seconds:.0f} s"
