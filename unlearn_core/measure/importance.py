"""How much each parameter matters for a set of images.

Selective Synaptic Dampening (SSD, Foster et al., AAAI 2024, arXiv 2308.07707) and its label-free variant
(LFSSD, arXiv 2402.19308) compare such an importance on the images to forget with the one on all images. The
released code of both uses the gradient of the *batch mean*, which depends on the batch size and order; the
papers describe a mean over *samples*, which depends on neither. `Estimator` names the four combinations and
`importance` computes them.

Gradients of single samples come from one ordinary backward pass: in eval mode samples do not influence each
other, so the gradient of the summed loss with respect to a layer's output holds every sample's own gradient
in its own rows. With the layer's input, that is enough to form each sample's parameter gradient;
`per_sample_rule` registers the formula of a module type. Parameters without a formula are differentiated
sample by sample.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from operator import length_hint
from typing import Any, Literal, TypeVar, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, Node, get_gradient_edge
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.batchnorm import _BatchNorm

from unlearn_core.nets.substitute import called_with
from unlearn_core.progress import Progress, silent

__all__ = [
    "Batch",
    "Estimator",
    "Importance",
    "Magnitude",
    "Order",
    "batch_indices",
    "importance",
    "per_sample_rule",
]

Batch = tuple[Tensor, Tensor]
"""Images of shape (N, C, H, W) or (N, d), and integer labels of shape (N,)."""

Importance = dict[str, Tensor]
"""Parameter name -> non-negative tensor with the shape and dtype of the parameter."""

Loss = Literal["cross_entropy", "squared_norm"]
Unit = Literal["batch_mean", "per_sample"]
Order = Literal["given", "class_sorted", "shuffled"]

Magnitude = Callable[[Tensor], Tensor]
"""Elementwise square or absolute value; both satisfy magnitude(a * b) = magnitude(a) * magnitude(b)."""

Rule = Callable[[Any, Tensor, Tensor, Magnitude], dict[str, Tensor]]
"""See `per_sample_rule`."""

R = TypeVar("R", bound=Callable[..., dict[str, Tensor]])

# Working memory of a rule, small enough for a CPU cache: 32 MB and more measured up to 3x slower.
_BLOCK_BYTES = 8 * 2**20
# Working memory for the parameter gradients of the samples that are differentiated one by one.
_FALLBACK_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Estimator:
    """What is differentiated, and over what the gradient's magnitude is averaged.

    Attributes:
        loss: "cross_entropy" squares the gradient of the cross-entropy with the labels (SSD). "squared_norm"
            takes the absolute gradient of the squared norm of the logits and never reads the labels (LFSSD).
        unit: "batch_mean" averages, over batches, the magnitude of the gradient of the batch's mean loss.
            This is what the official code does; it depends on the batch size and order. "per_sample"
            averages, over samples, the magnitude of each sample's own gradient. This is the papers'
            definition (for cross_entropy the diagonal of the empirical Fisher information) and the
            deterministic form of arXiv 2510.26714.

    Raises:
        ValueError: A field has none of the values above.
    """

    loss: Loss
    unit: Unit

    def __post_init__(self) -> None:
        """Reject unknown names early."""
        choices = (("loss", self.loss, get_args(Loss)), ("unit", self.unit, get_args(Unit)))
        for name, value, allowed in choices:
            if value not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")

    @property
    def magnitude(self) -> Magnitude:
        """The elementwise square for SSD, the absolute value for LFSSD."""
        return torch.square if self.loss == "cross_entropy" else torch.abs

    def losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of every sample, shape (N,), at least in float32; logits have shape (N, K)."""
        logits = _upcast(logits)
        if self.loss == "squared_norm":
            return logits.square().sum(dim=1)
        return F.cross_entropy(logits, labels, reduction="none")


def batch_indices(
    labels: Tensor, batch_size: int, order: Order, *, last: Sequence[int] = (), seed: int = 0
) -> list[Tensor]:
    """Split the positions 0..n-1 of a data set into batches.

    Batch-mean importances depend on this order. The official SSD code walks through the data class by class,
    the retained images first and the images to forget last: "class_sorted" with the classes to forget in
    `last`.

    Args:
        labels: Integer labels, shape (n,).
        batch_size: Images per batch, at least 1; the last batch may be shorter.
        order: "given" keeps the order; "class_sorted" sorts stably by ascending class; "shuffled" permutes.
        last: Classes that "class_sorted" moves to the end, in this order. Classes without images are ignored.
        seed: Seed of the permutation of "shuffled". The global random state is neither read nor changed.

    Returns:
        Tensors of int64 positions on the CPU; each position occurs exactly once.

    Raises:
        ValueError: An argument is outside its range; the message names the argument, the range and the value.
    """
    if labels.dim() != 1 or len(labels) < 1:
        raise ValueError(f"labels must have shape (n,) with n at least 1, got shape {tuple(labels.shape)}")
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    if len(set(last)) != len(last):
        raise ValueError(f"last must name each class at most once, got {list(last)}")
    if order == "given":
        positions = torch.arange(len(labels))
    elif order == "shuffled":
        positions = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    elif order == "class_sorted":
        values = labels.tolist()
        rank = {label: place for place, label in enumerate(last)}
        # Sorted by (not last, class) first and by (last, place in `last`) after; Python's sort is stable.
        keys = [(1, rank[value]) if value in rank else (0, value) for value in values]
        positions = torch.tensor(sorted(range(len(values)), key=keys.__getitem__))
    else:
        raise ValueError(f"order must be one of {', '.join(get_args(Order))}, got {order!r}")
    return list(torch.split(positions, batch_size))


def importance(
    model: nn.Module,
    batches: Iterable[Batch],
    estimator: Estimator,
    *,
    progress: Progress = silent,
    total: int | None = None,
) -> Importance:
    """Measure how strongly each parameter influences the loss on the given images.

    The model runs in eval mode and is left as it was, also after an error or a cancellation: parameters,
    `.grad` fields, buffers, every submodule's training flag and the global torch random state. Frozen and
    unused parameters get zeros. "per_sample" assumes that the samples of a batch do not influence each
    other in eval mode.

    Rules compute in the dtype of the parameters (float32 for lower precisions) within a batch; sums over
    batches are kept in float64 and rounded to the dtype of the parameter at the end. Squared gradients
    easily underflow in float16; prefer bfloat16.

    Args:
        model: Any module that maps images to raw logits of shape (N, K).
        batches: Batches on the device of the model; read once, so a generator will do.
        estimator: Which loss, and averaged over what.
        progress: Called after each batch with the share done, where the number of batches is known. What it
            raises (`Cancelled`, for one) is passed on.
        total: Number of batches, for `progress`; default `len(batches)` where that exists.

    Returns:
        One non-negative tensor for each entry of `model.named_parameters()`, shaped and typed like the
        parameter.

    Raises:
        ValueError: There are no batches or a batch is empty, the output is not of shape (N, K), the output
            holds probabilities or log-probabilities although estimator.loss is "squared_norm" (which needs
            raw logits), the loss or a gradient is not finite, or total is below 1.
    """
    if total is not None and total < 1:
        raise ValueError(f"total must be at least 1, got {total}")
    total = total or length_hint(batches)  # 0 where it is not known
    sums = {name: torch.zeros_like(p.detach(), dtype=_accumulator(p)) for name, p in model.named_parameters()}
    add_up = _PerSample(model, estimator) if estimator.unit == "per_sample" else _BatchMean(model, estimator)
    done = units = 0
    with _left_as_it_was(model), torch.enable_grad():
        model.eval()
        for images, labels in batches:
            try:
                contributions = add_up(images, labels)
            except _BadBatch as problem:
                raise ValueError(f"batch {done + 1} (counting from 1): {problem}") from None
            for name, contribution in contributions.items():
                sums[name] += contribution
            done += 1
            units += len(images) if estimator.unit == "per_sample" else 1
            if total:
                progress(min(done / total, 1.0), f"importance: batch {done} of {total}")
    if done == 0:
        raise ValueError("batches must hold at least 1 batch, got 0")
    return {name: (sums[name] / units).to(p.dtype) for name, p in model.named_parameters()}


# --- per-sample rules -----------------------------------------------------------------------------

_RULES: dict[type[nn.Module], Rule] = {}


def per_sample_rule(module_type: type[nn.Module]) -> Callable[[R], R]:
    """Register, as a decorator, the formula for the per-sample gradients of a module type.

    The rule is called as `rule(module, x, g, magnitude)`: `x` is the single input of the module, `g` the
    gradient of the summed loss with respect to its output, both with the sample as first dimension, and
    `magnitude` squares or takes the absolute value elementwise. It returns, by local parameter name, the sum
    over samples of the magnitude of the sample's gradient, shaped like the parameter. A parameter it leaves
    out is differentiated sample by sample. The rule applies to exactly this type; a subclass may compute
    something else and needs its own.

    Example:
        >>> class Offset(nn.Module):  # adds a weight of shape (1, T, d), like position embeddings
        ...     def __init__(self) -> None:
        ...         super().__init__()
        ...         self.weight = nn.Parameter(torch.zeros(1, 4, 8))
        ...     def forward(self, x: Tensor) -> Tensor:
        ...         return x + self.weight
        >>> @per_sample_rule(Offset)
        ... def offset_rule(module, x, g, magnitude):
        ...     return {"weight": magnitude(g).sum(0, keepdim=True)}

    Raises:
        ValueError: The module type has a rule already.
    """

    def register(rule: R) -> R:
        if module_type in _RULES:
            raise ValueError(
                f"module_type must not have a per-sample rule already, got {module_type.__name__}"
            )
        _RULES[module_type] = rule
        return rule

    return register


@per_sample_rule(nn.Linear)
def _linear(module: nn.Linear, x: Tensor, g: Tensor, magnitude: Magnitude) -> dict[str, Tensor]:
    # Every dimension between the sample and the feature (tokens, say) is summed over within a sample.
    x, g = x.reshape(len(x), -1, x.shape[-1]), g.reshape(len(g), -1, g.shape[-1])
    weight = torch.zeros_like(module.weight, dtype=g.dtype)
    for block in _blocks(x, x.shape[1], weight):
        weight += _product(g[block].mT[:, None], x[block].mT[:, None], magnitude)[0]
    return {"weight": weight, "bias": magnitude(g.sum(1)).sum(0)}


@per_sample_rule(nn.Conv2d)
def _conv2d(module: nn.Conv2d, x: Tensor, g: Tensor, magnitude: Magnitude) -> dict[str, Tensor]:
    if x.dim() != 4:
        return {}
    # Padding is made explicit, so "same" and the non-zero modes need nothing further.
    mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
    x = F.pad(x, module._reversed_padding_repeated_twice, mode=mode)
    (kh, kw), (sh, sw), (dh, dw) = module.kernel_size, module.stride, module.dilation
    # What each output position sees, as a view of shape (N, C, kh, kw, H', W'); copied block by block below.
    patches = x.unfold(2, dh * (kh - 1) + 1, sh).unfold(3, dw * (kw - 1) + 1, sw)[..., ::dh, ::dw]
    patches = patches.permute(0, 1, 4, 5, 2, 3)
    positions, groups = g.shape[2] * g.shape[3], module.groups
    outputs = module.out_channels // groups
    weight = g.new_zeros(groups, outputs, module.weight[0].numel())
    for block in _blocks(patches, positions, weight):
        some_g = g[block].reshape(-1, groups, outputs, positions)
        some_x = patches[block].reshape(len(some_g), groups, -1, positions)
        weight += _product(some_g, some_x, magnitude)
    sums = {"weight": weight.reshape(module.weight.shape)}
    if module.bias is not None:
        sums["bias"] = magnitude(g.sum((2, 3))).sum(0)
    return sums


@per_sample_rule(nn.BatchNorm1d)
@per_sample_rule(nn.BatchNorm2d)
def _batch_norm(module: Any, x: Tensor, g: Tensor, magnitude: Magnitude) -> dict[str, Tensor]:
    # Only with running statistics: others never come here.
    shape = (1, -1) + (1,) * (x.dim() - 2)
    centred = (x - module.running_mean.to(x.dtype).view(shape)) * g
    scale = torch.rsqrt(module.running_var.to(x.dtype) + module.eps)
    return {
        "weight": magnitude(_sum_from(centred, 2) * scale).sum(0),
        "bias": magnitude(_sum_from(g, 2)).sum(0),
    }


@per_sample_rule(nn.GroupNorm)
def _group_norm(module: nn.GroupNorm, x: Tensor, g: Tensor, magnitude: Magnitude) -> dict[str, Tensor]:
    normed = F.group_norm(x, module.num_groups, eps=module.eps)
    return {"weight": magnitude(_sum_from(normed * g, 2)).sum(0), "bias": magnitude(_sum_from(g, 2)).sum(0)}


@per_sample_rule(nn.LayerNorm)
def _layer_norm(module: nn.LayerNorm, x: Tensor, g: Tensor, magnitude: Magnitude) -> dict[str, Tensor]:
    if x.dim() == len(module.normalized_shape):
        return {}  # the first dimension is itself normalised over
    normed = F.layer_norm(x, module.normalized_shape, eps=module.eps)
    inner = (len(x), -1, *module.normalized_shape)
    return {
        "weight": magnitude((normed * g).reshape(inner).sum(1)).sum(0),
        "bias": magnitude(g.reshape(inner).sum(1)).sum(0),
    }


@per_sample_rule(nn.Embedding)
def _embedding(module: nn.Embedding, x: Tensor, g: Tensor, magnitude: Magnitude) -> dict[str, Tensor]:
    if module.scale_grad_by_freq or module.max_norm is not None:
        return {}
    # One row per (sample, entry) pair: a sample's repeats of an entry add up before the magnitude is taken.
    entries = x.reshape(len(x), -1)
    pairs = entries + module.num_embeddings * torch.arange(len(x), device=x.device)[:, None]
    pairs, inverse = torch.unique(pairs, return_inverse=True)
    rows = g.new_zeros(len(pairs), module.embedding_dim)
    rows.index_add_(0, inverse.flatten(), g.reshape(-1, module.embedding_dim))
    weight = torch.zeros_like(module.weight, dtype=g.dtype)
    weight.index_add_(0, pairs % module.num_embeddings, magnitude(rows))
    if module.padding_idx is not None:
        weight[module.padding_idx] = 0
    return {"weight": weight}


def _sum_from(x: Tensor, dim: int) -> Tensor:
    return x.flatten(dim).sum(dim) if x.dim() > dim else x


def _product(g: Tensor, x: Tensor, magnitude: Magnitude) -> Tensor:
    """Sum over n of magnitude(sum over l of g[n, :, o, l] * x[n, :, p, l]), shape (groups, o, p)."""
    if x.shape[-1] == 1:  # a magnitude of products is a product of magnitudes: no per-sample matrices needed
        return torch.einsum("ngo,ngp->gop", magnitude(g[..., 0]), magnitude(x[..., 0]))
    return magnitude(g @ x.mT).sum(0)


def _blocks(x: Tensor, positions: int, weight: Tensor) -> Iterator[slice]:
    """Slices of the samples for which the working memory of `_product` stays small."""
    matrix = 0 if positions == 1 else weight.numel()
    step = max(1, _BLOCK_BYTES // (weight.element_size() * max(1, x[0].numel() + matrix)))
    return (slice(start, start + step) for start in range(0, len(x), step))


# --- one batch ------------------------------------------------------------------------------------


class _BadBatch(Exception):
    """What is wrong with a batch; `importance` adds its number."""


class _BatchMean:
    """Maps a batch to the magnitude of the gradient of its mean loss."""

    def __init__(self, model: nn.Module, estimator: Estimator) -> None:
        self.model, self.estimator = model, estimator

    def __call__(self, images: Tensor, labels: Tensor) -> Importance:
        loss = _checked_losses(self.model(_checked_images(images)), images, labels, self.estimator).mean()
        wanted = _trainable(self.model) if loss.requires_grad else {}
        gradients = torch.autograd.grad(loss, list(wanted.values()), allow_unused=True) if wanted else ()
        return _checked_sums(
            {
                name: self.estimator.magnitude(_upcast(gradient))
                for name, gradient in zip(wanted, gradients, strict=True)
                if gradient is not None
            }
        )


class _PerSample:
    """Maps a batch to the sum over its samples of the magnitude of the sample's gradient."""

    def __init__(self, model: nn.Module, estimator: Estimator) -> None:
        self.model, self.estimator = model, estimator
        self.sample_first: set[nn.Module] | None = None
        self.vectorise = True

    def __call__(self, images: Tensor, labels: Tensor) -> Importance:
        images = _checked_images(images)
        if self.sample_first is None:
            self.sample_first = self._modules_with_samples_first(images)
        with _recorded_calls(self.model) as calls:
            output = self.model(images)
        loss = _checked_losses(output, images, labels, self.estimator).sum()
        uses = _uses(loss)
        wanted = {name: p for name, p in _trainable(self.model).items() if uses[p]}
        sums = self._by_rules(
            loss, len(images), calls, {p: name for name, p in wanted.items() if uses[p] == 1}
        )
        del loss, output, calls  # frees what is left of the graph before the slow path needs memory
        rest = {name: p for name, p in wanted.items() if name not in sums}
        if rest:
            sums |= self._one_by_one(images, labels, rest)
        return _checked_sums(sums)

    def _modules_with_samples_first(self, images: Tensor) -> set[nn.Module]:
        """Modules that see one row for one image.

        Guards against a dimension that only happens to be as long as the batch: tokens before samples, say.
        """
        if any(isinstance(m, _BatchNorm) and m.running_mean is None for m in self.model.modules()):
            return set()  # batch statistics, also in eval mode: a joint backward pass would mix the samples
        with _recorded_calls(self.model) as calls:
            self.model(images[:1])
        return {module for module, seen in calls.items() if all(c is not None and c.rows == 1 for c in seen)}

    def _by_rules(
        self, loss: Tensor, rows: int, calls: dict[nn.Module, list[_Call | None]], names: dict[Tensor, str]
    ) -> Importance:
        """Apply the rules to those of `names`, each used once in the graph, that a rule fully accounts for.

        "The parameter is used once, its module is called once, and a gradient arrives at the output" proves
        that the rule sees all there is. Tied weights, modules called twice and weights used behind a
        module's back fail the test.
        """
        assert self.sample_first is not None
        ready: dict[nn.Module, _Call] = {}
        for module, seen in calls.items():
            call = seen[0] if len(seen) == 1 and module in self.sample_first else None
            needed = any(p in names for p in module.parameters(recurse=False))
            if needed and call is not None and call.rows == rows and call.input._version == call.version:
                ready[module] = call
        if not ready:
            return {}
        gradients = torch.autograd.grad(loss, [call.output for call in ready.values()], allow_unused=True)
        sums: Importance = {}
        with torch.no_grad():
            for (module, call), g in zip(ready.items(), gradients, strict=True):
                if g is None:
                    continue
                rule = _RULES[type(module)]
                found = rule(module, _upcast(call.input), _upcast(g), self.estimator.magnitude)
                for local_name, p in module.named_parameters(recurse=False):
                    if p in names and local_name in found:
                        sums[names[p]] = found[local_name]
                        _check_shape(module, local_name, found[local_name], p)
        return sums

    def _one_by_one(self, images: Tensor, labels: Tensor, wanted: dict[str, nn.Parameter]) -> Importance:
        """Differentiate each sample alone: vectorised, or in a loop if an operation does not allow that."""
        if self.vectorise:
            try:
                return self._vectorised(images, labels, wanted)
            except RuntimeError:  # no batching rule, control flow that depends on data, random numbers, ...
                self.vectorise = False
        sums = {name: torch.zeros_like(_upcast(p.detach())) for name, p in wanted.items()}
        for image, label in zip(torch.split(images, 1), torch.split(labels, 1), strict=True):
            loss = self.estimator.losses(self.model(image), label).sum()
            gradients = torch.autograd.grad(loss, list(wanted.values()), allow_unused=True)
            for name, gradient in zip(wanted, gradients, strict=True):
                if gradient is not None:
                    sums[name] += self.estimator.magnitude(_upcast(gradient))
        return sums

    def _vectorised(self, images: Tensor, labels: Tensor, wanted: dict[str, nn.Parameter]) -> Importance:
        def loss_of_one(parameters: dict[str, Tensor], image: Tensor, label: Tensor) -> Tensor:
            logits = called_with(self.model, parameters, image[None])
            return self.estimator.losses(logits, label[None]).sum()

        gradients_of = torch.func.vmap(torch.func.grad(loss_of_one), in_dims=(None, 0, 0))
        values = {name: p.detach() for name, p in wanted.items()}
        step = max(1, _FALLBACK_BYTES // sum(p.numel() * p.element_size() for p in values.values()))
        sums = {name: torch.zeros_like(_upcast(p)) for name, p in values.items()}
        # The fused attention kernels have no batching rule and would run sample by sample.
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
            parts = zip(torch.split(images, step), torch.split(labels, step), strict=True)
            for some_images, some_labels in parts:
                for name, gradients in gradients_of(values, some_images, some_labels).items():
                    sums[name] += self.estimator.magnitude(_upcast(gradients)).sum(0)
        return sums


@dataclass(frozen=True)
class _Call:
    """One call of a module with one input tensor, as seen by a forward hook."""

    input: Tensor
    output: GradientEdge  # the output's place in the graph: stays right if it is later changed in place
    rows: int  # first dimension of input and output; 0 where they differ
    version: int  # of the input, to notice that it was changed in place after the call


@contextmanager
def _recorded_calls(model: nn.Module) -> Iterator[dict[nn.Module, list[_Call | None]]]:
    """Record the calls of all modules that have a rule; None stands for a call that no rule can use."""
    calls: dict[nn.Module, list[_Call | None]] = defaultdict(list)

    def record(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        tensors = [v for v in (*args, output) if isinstance(v, Tensor) and v.dim() > 0]
        if len(args) != 1 or kwargs or len(tensors) != 2 or not output.requires_grad:
            calls[module].append(None)
            return
        rows = len(output) if len(args[0]) == len(output) else 0
        calls[module].append(_Call(args[0].detach(), get_gradient_edge(output), rows, args[0]._version))

    # Prepended, so as to see the module's own output rather than what another hook makes of it.
    handles = [
        module.register_forward_hook(record, prepend=True, with_kwargs=True)
        for module in model.modules()
        if type(module) in _RULES
    ]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def _check_shape(module: nn.Module, name: str, found: Tensor, parameter: Tensor) -> None:
    if found.shape != parameter.shape:
        raise ValueError(
            f"the per-sample rule of {type(module).__name__} must return {name} of shape "
            f"{tuple(parameter.shape)}, got {tuple(found.shape)}"
        )


def _uses(loss: Tensor) -> Counter[Tensor]:
    """Count how often each parameter enters the graph of the loss."""
    uses: Counter[Tensor] = Counter()
    seen: set[Node] = set()
    waiting: list[Node] = [] if loss.grad_fn is None else [loss.grad_fn]
    while waiting:
        for node, _ in waiting.pop().next_functions:
            if node is None:
                continue
            if type(node).__name__ == "AccumulateGrad":
                uses[node.variable] += 1  # type: ignore[attr-defined]
            elif node not in seen:
                seen.add(node)
                waiting.append(node)
    return uses


@contextmanager
def _left_as_it_was(model: nn.Module) -> Iterator[None]:
    """Restore every submodule's training flag and the global random state on the way out."""
    flags = [(module, module.training) for module in model.modules()]
    devices = {p.device.index for p in model.parameters() if p.device.type == "cuda"}
    with torch.random.fork_rng(devices=sorted(index or 0 for index in devices)):
        try:
            yield
        finally:
            for module, flag in flags:
                module.training = flag


def _trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def _checked_images(images: Tensor) -> Tensor:
    if images.dim() < 1 or len(images) < 1:
        raise _BadBatch(f"images must have shape (N, ...) with N at least 1, got shape {tuple(images.shape)}")
    return images


def _checked_losses(output: Any, images: Tensor, labels: Tensor, estimator: Estimator) -> Tensor:
    if not isinstance(output, Tensor) or output.dim() != 2 or len(output) != len(images):
        got = f"shape {tuple(output.shape)}" if isinstance(output, Tensor) else type(output).__name__
        raise _BadBatch(f"the model's output must be logits of shape ({len(images)}, K), got {got}")
    if estimator.loss == "squared_norm" and _looks_normalised(output.detach()):
        raise _BadBatch(
            "squared_norm needs raw logits, but every row of the output looks like probabilities or "
            "log-probabilities; remove the softmax or log-softmax at the end of the model"
        )
    losses = estimator.losses(output, labels)
    if not losses.detach().isfinite().all():
        raise _BadBatch("the loss must be finite, got NaN or infinity")
    return losses


def probabilities(output: Tensor) -> bool:
    """Whether all rows, of shape (N, K), look like the result of a softmax: not negative, with a sum of 1."""
    if output.shape[1] < 2:  # a single logit is not a distribution
        return False
    rows = _upcast(output)
    return bool((rows >= 0).all()) and bool(((rows.sum(1) - 1).abs() < _tolerance(output)).all())


def _looks_normalised(output: Tensor) -> bool:
    logs = output.shape[1] > 1 and bool((_upcast(output).logsumexp(1).abs() < _tolerance(output)).all())
    return logs or probabilities(output)


def _tolerance(output: Tensor) -> float:
    return 1e-4 if output.dtype in (torch.float32, torch.float64) else 2e-2


def _checked_sums(sums: Importance) -> Importance:
    # The entries are not negative, so their sum is finite exactly if all of them are.
    for name, values in sums.items():
        if not math.isfinite(values.sum(dtype=_accumulator(values)).item()):
            raise _BadBatch(f"the gradient of {name} must be finite, got NaN or infinity")
    return sums


def _upcast(x: Tensor) -> Tensor:
    """Lower floating-point precisions as float32, everything else unchanged."""
    return x.to(torch.promote_types(x.dtype, torch.float32)) if x.is_floating_point() else x


def _accumulator(x: Tensor) -> torch.dtype:
    return torch.float32 if x.device.type == "mps" else torch.float64  # MPS has no float64
