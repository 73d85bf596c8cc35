"""Gradients of single samples from one backward pass: a formula for each type of module, a slow road for the rest."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, Node, get_gradient_edge
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.batchnorm import _BatchNorm

from unlearn_core.measure.estimator import (
    Estimator,
    Importance,
    Magnitude,
    checked_images,
    checked_losses,
    checked_sums,
    trainable,
)
from unlearn_core.nets.heads import upcast
from unlearn_core.nets.models import Offset
from unlearn_core.nets.substitute import called_with

Rule = Callable[[Any, Tensor, Tensor, Magnitude], dict[str, Tensor]]
"""See `per_sample_rule`."""

R = TypeVar("R", bound=Callable[..., dict[str, Tensor]])

# Working memory of a rule, small enough for the second-level cache of one core.
_BLOCK_BYTES = 2**20
# Working memory for the parameter gradients of the samples that are differentiated one by one.
_FALLBACK_BYTES = 64 * 2**20



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
    weight = _summed(g[:, None], x[:, None], magnitude)
    return {"weight": weight.view_as(module.weight), "bias": magnitude(g.sum(1)).sum(0)}


@per_sample_rule(nn.Conv2d)
def _conv2d(module: nn.Conv2d, x: Tensor, g: Tensor, magnitude: Magnitude) -> dict[str, Tensor]:
    if x.dim() != 4:
        return {}
    # Padding is made explicit, so "same" and the non-zero modes need nothing further.
    mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
    x = F.pad(x, module._reversed_padding_repeated_twice, mode=mode)
    (kh, kw), (sh, sw), (dh, dw) = module.kernel_size, module.stride, module.dilation
    # What each output position sees, as a view of shape (N, groups, H', W', kh, kw, C): channels last, as they lie in
    # memory, so that copying them block by block moves kw * C numbers at once.
    patches = x.unfold(2, dh * (kh - 1) + 1, sh).unfold(3, dw * (kw - 1) + 1, sw)[..., ::dh, ::dw]
    patches = torch.unflatten(patches, 1, (module.groups, -1)).permute(0, 1, 3, 4, 5, 6, 2)
    rows = torch.unflatten(g, 1, (module.groups, -1)).flatten(3).mT  # (N, groups, H' W', outputs)
    weight = _summed(rows, patches, magnitude).reshape(module.out_channels, kh, kw, -1).permute(0, 3, 1, 2)
    sums = {"weight": weight}
    if module.bias is not None:
        sums["bias"] = magnitude(g.sum((2, 3))).sum(0)
    return sums


@per_sample_rule(nn.BatchNorm1d)
@per_sample_rule(nn.BatchNorm2d)
def _batch_norm(module: Any, x: Tensor, g: Tensor, magnitude: Magnitude) -> dict[str, Tensor]:
    # Only with running statistics: others never come here.
    shape = (1, -1) + (1,) * (x.dim() - 2)
    centred = (x - module.running_mean.to(x.dtype).view(shape)).mul_(g)
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


def _summed(g: Tensor, x: Tensor, magnitude: Magnitude) -> Tensor:
    """Sum over n of magnitude(sum over l of g[n, :, l, o] * x[n, :, l, p]), shape (groups, o, p).

    Dimensions of `x` before `p` may be several that make up l, and after them several that make up p. The matrices of
    single samples exist for a block of samples at a time, in one buffer that is written over and over: it stays in the
    cache, and the system need not find new pages for it.
    """
    n, groups, positions, outputs = g.shape
    inputs = x[0, 0].numel() // positions
    if positions == 1:  # a magnitude of products is a product of magnitudes: no per-sample matrices needed
        return torch.einsum("ngo,ngp->gop", magnitude(g[:, :, 0]), magnitude(x.reshape(n, groups, inputs)))
    step = min(n, max(1, _BLOCK_BYTES // (g.element_size() * groups * inputs * (positions + outputs))))
    products, total = g.new_empty(step * groups, outputs, inputs), g.new_zeros(groups, outputs, inputs)
    for some_g, some_x in zip(torch.split(g, step), torch.split(x, step), strict=True):
        found = products[:len(some_g) * groups]
        torch.bmm(some_g.flatten(0, 1).mT, some_x.reshape(-1, positions, inputs), out=found)
        ones = found.new_ones(len(some_g))
        total.view(-1).addmv_(magnitude(found, out=found).view(len(some_g), -1).T, ones)
    return total


@per_sample_rule(Offset)
def _offset(module: Offset, x: Tensor, g: Tensor, magnitude: Magnitude) -> dict[str, Tensor]:
    return {"weight": magnitude(g).sum(0, keepdim=True)}


class PerSample:
    """Maps a batch to the sum over its samples of the magnitude of the sample's gradient."""

    def __init__(self, model: nn.Module, estimator: Estimator) -> None:
        self.model, self.estimator = model, estimator
        self.sample_first: set[nn.Module] | None = None
        self.vectorise = True

    def __call__(self, images: Tensor, labels: Tensor) -> Importance:
        images = checked_images(images)
        if self.sample_first is None:
            self.sample_first = self._modules_with_samples_first(images)
        with _recorded_calls(self.model) as calls:
            output = self.model(images)
        loss = checked_losses(output, images, labels, self.estimator).sum()
        uses = _uses(loss)
        wanted = {name: p for name, p in trainable(self.model).items() if uses[p]}
        sums = self._by_rules(
            loss, len(images), calls, {p: name for name, p in wanted.items() if uses[p] == 1}
        )
        del loss, output, calls  # frees what is left of the graph before the slow path needs memory
        rest = {name: p for name, p in wanted.items() if name not in sums}
        if rest:
            sums |= self.one_by_one(images, labels, rest)
        return checked_sums(sums)

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
        calls.clear()
        sums: Importance = {}

        def account(module: nn.Module, g: Tensor | None) -> None:
            call = ready.pop(module)
            if g is None:
                return
            found = _RULES[type(module)](module, upcast(call.input), upcast(g), self.estimator.magnitude)
            for local_name, p in module.named_parameters(recurse=False):
                if p in names and local_name in found:
                    sums[names[p]] = found[local_name]
                    _check_shape(module, local_name, found[local_name], p)

        # A gradient is used as soon as it arrives, while it is in the cache, and not kept; nor is the input it belongs
        # to. Only those of the first modules are asked for: the way there leads through all others.
        first = _first(ready)
        for module in ready.keys() - set(first):
            edge = ready[module].output
            edge.node.register_prehook(
                lambda gradients, module=module, place=edge.output_nr: account(module, gradients[place]))
        with torch.no_grad():
            edges = [ready[module].output for module in first]
            gradients = torch.autograd.grad(loss, edges, allow_unused=True) if edges else ()
            for module, g in zip(first, gradients, strict=True):
                account(module, g)
        return sums

    def one_by_one(self, images: Tensor, labels: Tensor, wanted: dict[str, nn.Parameter]) -> Importance:
        """Differentiate each sample alone: vectorised, or in a loop if an operation does not allow that."""
        if self.vectorise:
            try:
                return self._vectorised(images, labels, wanted)
            except RuntimeError:  # no batching rule, control flow that depends on data, random numbers, ...
                self.vectorise = False
        sums = {name: torch.zeros_like(upcast(p.detach())) for name, p in wanted.items()}
        for image, label in zip(torch.split(images, 1), torch.split(labels, 1), strict=True):
            loss = self.estimator.losses(self.model(image), label).sum()
            gradients = torch.autograd.grad(loss, list(wanted.values()), allow_unused=True)
            for name, gradient in zip(wanted, gradients, strict=True):
                if gradient is not None:
                    sums[name] += self.estimator.magnitude(upcast(gradient))
        return sums

    def _vectorised(self, images: Tensor, labels: Tensor, wanted: dict[str, nn.Parameter]) -> Importance:
        def loss_of_one(parameters: dict[str, Tensor], image: Tensor, label: Tensor) -> Tensor:
            logits = called_with(self.model, parameters, image[None])
            return self.estimator.losses(logits, label[None]).sum()

        gradients_of = torch.func.vmap(torch.func.grad(loss_of_one), in_dims=(None, 0, 0))
        values = {name: p.detach() for name, p in wanted.items()}
        step = max(1, _FALLBACK_BYTES // sum(p.numel() * p.element_size() for p in values.values()))
        sums = {name: torch.zeros_like(upcast(p)) for name, p in values.items()}
        # The fused attention kernels have no batching rule and would run sample by sample.
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
            parts = zip(torch.split(images, step), torch.split(labels, step), strict=True)
            for some_images, some_labels in parts:
                for name, gradients in gradients_of(values, some_images, some_labels).items():
                    sums[name] += self.estimator.magnitude(upcast(gradients)).sum(0)
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


def _first(calls: Mapping[nn.Module, _Call]) -> list[nn.Module]:
    """Modules whose output depends on no other module's here."""
    nodes = {call.output.node for call in calls.values()}
    after: dict[Node, bool] = {}  # whether one of the nodes lies behind, towards the images
    for call in calls.values():
        waiting = [call.output.node]
        while waiting:
            node = waiting[-1]
            behind = [n for n, _ in node.next_functions if n is not None]
            if node in after or all(n in after for n in behind):
                after.setdefault(node, any(after[n] or n in nodes for n in behind))
                waiting.pop()
            else:
                waiting.extend(n for n in behind if n not in after)
    return [module for module, call in calls.items() if not after[call.output.node]]


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
