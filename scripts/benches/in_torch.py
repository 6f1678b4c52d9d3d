"""Profiles on cached features in PyTorch, with networks converted from Keras.

Images are `(examples, height, width, channels)` outside of modules, as in Keras. Inside they are
`(examples, channels, height, width)` in the memory format channels_last, which lays them out the same and is
PyTorch's faster one for convolutions.
"""

import collections
import copy
import functools

import keras
import numpy as np
import torch

from kdefrost.cutting.graph import Call, Graph, Tensor
from scripts.benches.work import Work, cut_by_cut


def cached_features(work: Work) -> dict:
    """Trains the layers after the cut on features that are computed once for each cut."""
    # A user's network is in PyTorch already.
    graph = Graph(work.source)
    places = {cut: tensor_after(graph, cut) for cut in (*work.cuts, work.last)}
    stop = places[work.last]
    networks = {
        cut: (Part(graph, graph.inputs[0], places[cut]), with_new_output(graph, places[cut], stop, work.classes))
        for cut in work.cuts
    }
    return cut_by_cut(functools.partial(_train_tails, work, networks), work)


def tensor_after(graph: Graph, name: str) -> Tensor:
    """The tensor that the layer of a name gives."""
    return next(tensor for tensor in graph.tensors if tensor.reference == (name, 0, 0))


class Part(torch.nn.Module):
    """The layers of a Keras model between two of its tensors, with their weights.

    A softmax of the last layer is left out: PyTorch's loss has it.

    Args:
        graph: The model's graph.
        start: Where it begins.
        stop: Where it ends.

    Raises:
        ValueError: If there is no conversion for a layer.
    """

    def __init__(self, graph: Graph, start: Tensor, stop: Tensor):
        super().__init__()
        calls = graph.between([start], [stop])
        uses = collections.Counter(tensor.reference for call in calls for tensor in call.inputs)
        self.start, self.stop = start.reference, stop.reference
        self.takes = [[tensor.reference for tensor in call.inputs] for call in calls]
        self.gives = [call.outputs[0].reference for call in calls]
        made = {call.name: _converted(call) for call in calls}
        self.layers = torch.nn.ModuleList(made[call.name] for call in calls)
        for call, layer in zip(calls, self.layers, strict=True):
            if isinstance(layer, (torch.nn.ReLU, torch.nn.ReLU6)):
                # As PyTorch's own networks have it, where nothing else needs what it overwrites.
                (taken,) = call.inputs
                layer.inplace = uses[taken.reference] == 1 and taken is not start
        # By position, what no later layer takes, so that inference lets it go.
        last_use = {reference: n for n, taken in enumerate(self.takes) for reference in taken}
        self.done = [[r for r in set(taken) if last_use[r] == n] for n, taken in enumerate(self.takes)]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """What the model has at `stop` for the values `x` at `start`."""
        known = {self.start: x}
        for layer, takes, gives, done in zip(self.layers, self.takes, self.gives, self.done, strict=True):
            known[gives] = layer(*(known[reference] for reference in takes))
            for reference in done:
                del known[reference]
        return known[self.stop]


def with_new_output(graph: Graph, start: Tensor, stop: Tensor, classes: int) -> torch.nn.Module:
    """The layers between two tensors and a new output layer, which gives logits."""
    return torch.nn.Sequential(Part(graph, start, stop), torch.nn.Linear(stop.shape[-1], classes))


def reinitialize(module: torch.nn.Module):
    """Gives kernels new values of variance 2 / fan-in (He et al., 2015), and normalisations the identity."""
    for layer in module.modules():
        if isinstance(layer, (torch.nn.Conv2d, torch.nn.Linear)):
            torch.nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                torch.nn.init.zeros_(layer.bias)
        elif isinstance(layer, torch.nn.BatchNorm2d):
            layer.reset_parameters()


def infer(module: torch.nn.Module, x: torch.Tensor, batch_size: int) -> torch.Tensor:
    """What a module gives in inference, batch by batch; images in and out with channels last."""
    module = module.eval().to(memory_format=torch.channels_last)
    with torch.no_grad():
        parts = [module(_channels_first(batch)) for batch in x.split(batch_size)]
        return torch.cat([part.permute(0, 2, 3, 1) if part.ndim == 4 else part for part in parts]).contiguous()


def _channels_first(x: torch.Tensor) -> torch.Tensor:
    """Images as modules take them: the same memory, seen otherwise."""
    return x.permute(0, 3, 1, 2) if x.ndim == 4 else x


def _train_tails(work: Work, networks: dict, cut: str) -> list[float]:
    extractor, untrained = networks[cut]
    (x, y), (test_x, test_y) = (tuple(map(torch.from_numpy, part)) for part in (work.train, work.test))
    x, test_x = (infer(extractor, images, work.recipe.batch_size) for images in (x[work.used], test_x))
    scores = []
    for seed, rows in enumerate(work.rows):
        torch.manual_seed(seed)
        tail = copy.deepcopy(untrained).to(memory_format=torch.channels_last)
        reinitialize(tail)
        _train(tail, x[np.searchsorted(work.used, rows)], y[rows], work)
        predicted = infer(tail, test_x, work.recipe.batch_size).argmax(dim=1)
        scores.append(float((predicted == test_y).float().mean()))
    return scores


def _train(tail: torch.nn.Module, x: torch.Tensor, y: torch.Tensor, work: Work):
    """Trains a tail by the recipe that kdefrost follows by default."""
    recipe = work.recipe
    optimizer = torch.optim.SGD(
        tail.parameters(), recipe.learning_rate, momentum=recipe.momentum, weight_decay=recipe.weight_decay
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=recipe.steps(len(y)))
    tail.train()
    for _ in range(recipe.epochs):
        for rows in torch.randperm(len(y)).split(recipe.batch_size):
            loss = torch.nn.functional.cross_entropy(tail(_channels_first(x[rows])), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


def _converted(call: Call) -> torch.nn.Module:
    """One layer of a Keras model as a module."""
    conversion = next((_CONVERSIONS[cls] for cls in type(call.operation).__mro__ if cls in _CONVERSIONS), None)
    if conversion is None:
        raise ValueError(f"Layer `{call.name}` ({type(call.operation).__name__}) has no conversion to PyTorch.")
    module = conversion(call.operation, call)
    activation = getattr(call.operation, "activation", keras.activations.linear)
    if activation not in (keras.activations.linear, keras.activations.softmax):
        raise ValueError(
            f"Layer `{call.name}` has an activation, {activation.__name__}, with no conversion to PyTorch."
        )
    return module


def _convolution(layer, call: Call) -> torch.nn.Module:
    kernel = np.asarray(layer.kernel)
    depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
    # Keras: (height, width, inputs, outputs), or (height, width, channels, multiplier).
    kernel = (
        kernel.transpose(2, 3, 0, 1).reshape(-1, 1, *kernel.shape[:2]) if depthwise else kernel.transpose(3, 2, 0, 1)
    )
    (taken,) = call.inputs
    padding = _same_padding(layer, taken.shape[1:3]) if layer.padding == "same" else [(0, 0), (0, 0)]
    symmetric = all(before == after for before, after in padding)
    module = torch.nn.Conv2d(
        taken.shape[-1],
        len(kernel),
        layer.kernel_size,
        layer.strides,
        padding=tuple(before for before, _ in padding) if symmetric else 0,
        dilation=layer.dilation_rate,
        groups=taken.shape[-1] if depthwise else layer.groups,
        bias=layer.use_bias,
    )
    _fill(module.weight, kernel)
    if layer.use_bias:
        _fill(module.bias, layer.bias)
    return module if symmetric else torch.nn.Sequential(_zero_padding(padding), module)


def _same_padding(layer, sizes: tuple[int, int]) -> list[tuple[int, int]]:
    """Zeros before and after each axis as TensorFlow has them, which are unequal where their sum is odd."""
    totals = [
        max((-(-size // stride) - 1) * stride + dilation * (window - 1) + 1 - size, 0)
        for size, stride, dilation, window in zip(
            sizes, layer.strides, layer.dilation_rate, layer.kernel_size, strict=True
        )
    ]
    return [(total // 2, total - total // 2) for total in totals]


def _zero_padding(padding) -> torch.nn.Module:
    (top, bottom), (left, right) = padding
    return torch.nn.ZeroPad2d((left, right, top, bottom))


def _batch_normalization(layer, call: Call) -> torch.nn.Module:
    # PyTorch's momentum is the share of the new statistics. Of its running variance, the unbiased one, Keras has
    # the biased one.
    module = torch.nn.BatchNorm2d(layer.moving_mean.shape[0], eps=layer.epsilon, momentum=0.1)
    weights = {"weight": layer.gamma, "bias": layer.beta}
    weights |= {"running_mean": layer.moving_mean, "running_var": layer.moving_variance}
    for name, values in weights.items():
        _fill(getattr(module, name), values)
    return module


def _relu(layer, call: Call) -> torch.nn.Module:
    kind = (layer.negative_slope, layer.threshold, layer.max_value)
    if kind not in ((0, 0, None), (0, 0, 6)):
        raise ValueError(f"Layer `{call.name}` is a ReLU other than the plain one and that up to 6. Received: {kind}")
    return torch.nn.ReLU() if layer.max_value is None else torch.nn.ReLU6()


class _Add(torch.nn.Module):
    """The sum of its inputs."""

    def forward(self, first: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
        return sum(others, first)


class _Mean(torch.nn.Module):
    """The mean over positions."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(dim=(2, 3))


class _Affine(torch.nn.Module):
    """`scale * x + offset` per channel, with numbers that are not trained."""

    def __init__(self, scale, offset):
        super().__init__()
        for name, values in {"scale": scale, "offset": offset}.items():
            self.register_buffer(name, torch.from_numpy(np.array(values, np.float32).reshape(1, -1, 1, 1)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.scale * x + self.offset


def _normalization(layer, call: Call) -> torch.nn.Module:
    mean, deviation = np.asarray(layer.mean), np.sqrt(np.asarray(layer.variance))
    return _Affine(1 / deviation, -mean / deviation)


def _dense(layer, call: Call) -> torch.nn.Module:
    kernel = np.asarray(layer.kernel).T
    module = torch.nn.Linear(kernel.shape[1], kernel.shape[0], bias=layer.use_bias)
    _fill(module.weight, kernel)
    if layer.use_bias:
        _fill(module.bias, layer.bias)
    return module


def _fill(tensor: torch.Tensor, values):
    with torch.no_grad():
        tensor.copy_(torch.from_numpy(np.array(values, np.float32)))


_CONVERSIONS = {
    keras.layers.Conv2D: _convolution,
    keras.layers.DepthwiseConv2D: _convolution,
    keras.layers.ZeroPadding2D: lambda layer, call: _zero_padding(layer.padding),
    keras.layers.BatchNormalization: _batch_normalization,
    keras.layers.ReLU: _relu,
    keras.layers.Add: lambda layer, call: _Add(),
    keras.layers.GlobalAveragePooling2D: lambda layer, call: _Mean(),
    keras.layers.Dense: _dense,
    keras.layers.Rescaling: lambda layer, call: _Affine(layer.scale, layer.offset),
    keras.layers.Normalization: _normalization,
}
