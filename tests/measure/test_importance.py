"""Tests of unlearn_core.measure.importance: golden values, the fast path against a plain loop, side effects."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torchvision.models import VisionTransformer, resnet18  # type: ignore[import-untyped]

from tests.toys import LFSSD, LFSSD_PER_SAMPLE, SSD, SSD_PER_SAMPLE, approx, batches_of, fixture_t, sorted_batches
from unlearn_core.measure import per_sample as module_under_test
from unlearn_core.measure.estimator import Batch, Estimator, Importance
from unlearn_core.measure.importance import batch_indices, importance
from unlearn_core.measure.per_sample import per_sample_rule
from unlearn_core.progress import Cancelled

ALL = (SSD, LFSSD, SSD_PER_SAMPLE, LFSSD_PER_SAMPLE)
PER_SAMPLE = (SSD_PER_SAMPLE, LFSSD_PER_SAMPLE)

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")


def total(values: Importance) -> float:
    return sum(v.sum().item() for v in values.values())


def reference(model: nn.Module, x: Tensor, y: Tensor, estimator: Estimator) -> Importance:
    """The definition of the per-sample importance: a loop over single images, in eval mode."""
    model.eval()
    result = {name: torch.zeros_like(p.detach()) for name, p in model.named_parameters()}
    wanted = {name: p for name, p in model.named_parameters() if p.requires_grad}
    for i in range(len(x)):
        out = model(x[i : i + 1])
        cross_entropy = estimator.loss == "cross_entropy"
        loss = F.cross_entropy(out, y[i : i + 1]) if cross_entropy else out.square().sum(1).mean()
        for name, g in zip(
            wanted, torch.autograd.grad(loss, list(wanted.values()), allow_unused=True), strict=True
        ):
            if g is not None:
                result[name] += (g.square() if estimator.loss == "cross_entropy" else g.abs()) / len(x)
    return result


def assert_same(got: Importance, expected: Importance, tolerance: float = 1e-10) -> None:
    assert list(got) == list(expected)
    for name, value in expected.items():
        assert got[name].shape == value.shape and got[name].dtype == value.dtype, name
        scale = max(1.0, value.abs().max().item())
        assert (got[name] - value).abs().max().item() <= tolerance * scale, name


def randomise(model: nn.Module, seed: int = 0) -> nn.Module:
    """Random parameters and running statistics, so that no layer is an identity or a zero."""
    generator = torch.Generator().manual_seed(seed)
    for p in model.parameters():
        p.data += 0.2 * torch.randn(p.shape, generator=generator, dtype=p.dtype)
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.copy_(torch.randn(buffer.shape, generator=generator, dtype=buffer.dtype))
        if name.endswith("running_var"):
            buffer.copy_(0.5 + torch.rand(buffer.shape, generator=generator, dtype=buffer.dtype))
    return model


def data(*shape: int, classes: int = 3, seed: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=generator, dtype=torch.float64)
    return x, torch.randint(classes, (shape[0],), generator=generator)


@pytest.fixture
def one_by_one(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The names of the parameters that took the slow path."""
    names: set[str] = set()
    slow = module_under_test.PerSample.one_by_one

    def spy(
        self: module_under_test.PerSample, images: Tensor, labels: Tensor, wanted: dict[str, nn.Parameter]
    ) -> Importance:
        names.update(wanted)
        return slow(self, images, labels, wanted)

    monkeypatch.setattr(module_under_test.PerSample, "one_by_one", spy)
    return names


# --- golden values (docs/methods.md, "SSD on fixture T" and "LFSSD on fixture T") -----------------


def test_ssd_reproduces_the_official_code() -> None:
    model, x, y = fixture_t()
    forget = importance(model, batches_of(x[y == 0], y[y == 0]), SSD)
    everything = importance(model, sorted_batches(x, y), SSD)
    assert total(forget) == approx(1.0355481823872688)
    assert total(everything) == approx(1.634175218182265)
    assert forget["2.bias"].tolist() == approx([0.2508022678, 0.1019602761, 0.0329384143])
    assert everything["2.bias"].tolist() == approx([0.1937300486, 0.2222113503, 0.1884497311])


def test_ssd_depends_on_the_order_of_the_data() -> None:
    model, x, y = fixture_t()
    interleaved = [(x[i], y[i]) for i in batch_indices(y, 4, "given")]
    assert total(importance(model, interleaved, SSD)) == approx(0.39902532991313483)


def test_per_sample_ssd_on_fixture_t() -> None:
    model, x, y = fixture_t()
    forget = importance(model, batches_of(x[y == 0], y[y == 0]), SSD_PER_SAMPLE)
    assert total(forget) == approx(2.3058246875514596)
    assert total(importance(model, batches_of(x, y), SSD_PER_SAMPLE)) == approx(3.2968348889831605)


def test_lfssd_reproduces_the_official_code() -> None:
    model, x, y = fixture_t()
    assert total(importance(model, batches_of(x[y == 0], y[y == 0]), LFSSD)) == approx(38.53221293918864)
    assert total(importance(model, sorted_batches(x, y), LFSSD)) == approx(37.91589788332402)


@pytest.mark.parametrize("estimator", [LFSSD, LFSSD_PER_SAMPLE])
def test_squared_norm_never_reads_the_labels(estimator: Estimator) -> None:
    model, x, y = fixture_t()
    expected = importance(model, batches_of(x, y), estimator)
    for labels in (y.flip(0), torch.full_like(y, -7), torch.full((12,), float("nan"))):
        got = importance(model, batches_of(x, labels), estimator)
        assert all(torch.equal(got[name], expected[name]) for name in expected)


# --- the fast path agrees with a loop over single images ------------------------------------------


class Offset(nn.Module):
    """Position embeddings as a module, with a rule of its own."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, *shape))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.weight


@per_sample_rule(Offset)
def _offset(module: Offset, x: Tensor, g: Tensor, magnitude: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
    return {"weight": magnitude(g).sum(0, keepdim=True)}


class Tokens(nn.Module):
    """Cuts a vector into a sequence of tokens, (N, T * d) -> (N, T, d)."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.d = d

    def forward(self, x: Tensor) -> Tensor:
        return torch.unflatten(x, 1, (-1, self.d))


class Indices(nn.Module):
    """Turns numbers into entries of an embedding."""

    def forward(self, x: Tensor) -> Tensor:
        return (x.abs() * 3).long().clamp(max=4)


def conv_net() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 6, 3, stride=2, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(inplace=True),
        nn.Conv2d(6, 6, 3, padding=(2, 1), dilation=(2, 1), groups=3, bias=False),
        nn.ReLU(inplace=True),
        nn.Conv2d(6, 6, (2, 3), padding="same", groups=6),
        nn.GroupNorm(2, 6),
        nn.Tanh(),
        nn.Conv2d(6, 4, 3, stride=(1, 2), padding=1, padding_mode="circular"),
        nn.Conv2d(4, 5, (5, 3)),
        nn.Flatten(),
        nn.BatchNorm1d(5),
        nn.Linear(5, 3),
    )


FAST: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "mlp": (
        lambda: nn.Sequential(nn.Linear(5, 7), nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Linear(7, 3)),
        (6, 5),
    ),
    "conv_net": (conv_net, (5, 2, 9, 9)),
    "tokens": (
        lambda: nn.Sequential(
            Tokens(4),
            Offset(3, 4),
            nn.Linear(4, 6),
            nn.GELU(),
            nn.LayerNorm(6),
            nn.Unflatten(1, (3, 1)),
            nn.LayerNorm((1, 6)),
            nn.Flatten(),
            nn.Linear(18, 3),
        ),
        (5, 12),
    ),
    "batch_norm_1d_of_sequences": (
        lambda: nn.Sequential(
            Tokens(4), nn.BatchNorm1d(3), nn.GroupNorm(1, 3), nn.Flatten(), nn.Linear(12, 3)
        ),
        (5, 12),
    ),
    "embedding": (
        lambda: nn.Sequential(Indices(), nn.Embedding(5, 4, padding_idx=1), nn.Flatten(), nn.Linear(24, 3)),
        (5, 6),
    ),
    "resnet18": (lambda: resnet18(num_classes=10), (4, 3, 32, 32)),
}


@pytest.mark.parametrize("estimator", PER_SAMPLE, ids=lambda e: e.loss)
@pytest.mark.parametrize("name", FAST)
def test_rules_agree_with_single_images(name: str, estimator: Estimator, one_by_one: set[str]) -> None:
    build, shape = FAST[name]
    torch.manual_seed(0)
    model = build().double()
    if name != "resnet18":  # whose activations would explode
        randomise(model)
    x, y = data(*shape)
    got = importance(model, batches_of(x, y, shape[0] - 1), estimator)
    assert_same(got, reference(model, x, y, estimator))
    assert not one_by_one


@pytest.mark.parametrize("estimator", PER_SAMPLE, ids=lambda e: e.loss)
def test_small_blocks_and_channels_last_change_nothing(
    estimator: Estimator, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = randomise(conv_net().double())
    x, y = data(5, 2, 9, 9)
    expected = reference(model, x, y, estimator)
    monkeypatch.setattr(module_under_test, "_BLOCK_BYTES", 5000)
    assert_same(importance(model, [(x, y)], estimator), expected)
    model = model.to(memory_format=torch.channels_last)
    assert_same(
        importance(model, [(x.contiguous(memory_format=torch.channels_last), y)], estimator), expected
    )


def test_gradients_are_used_as_they_arrive_and_not_kept() -> None:
    class Remembered(nn.Linear):
        pass

    seen: list[weakref.ref[Tensor]] = []
    alive: list[int] = []

    @per_sample_rule(Remembered)
    def rule(module: Remembered, x: Tensor, g: Tensor, magnitude: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
        alive.append(sum(part() is not None for part in seen))
        seen.extend((weakref.ref(x), weakref.ref(g)))
        return {"weight": magnitude(g[:, :, None] * x[:, None]).sum(0), "bias": magnitude(g).sum(0)}

    layers = [layer for _ in range(6) for layer in (Remembered(5, 5), nn.Tanh())]
    model = nn.Sequential(*layers, nn.Linear(5, 3)).double()
    x, y = data(7, 5)
    assert_same(importance(model, [(x, y)], SSD_PER_SAMPLE), reference(model, x, y, SSD_PER_SAMPLE))
    assert len(alive) == 6 and max(alive) <= 2


@pytest.mark.parametrize("estimator", PER_SAMPLE, ids=lambda e: e.loss)
def test_vision_transformer_agrees_with_single_images(estimator: Estimator, one_by_one: set[str]) -> None:
    torch.manual_seed(0)
    vit = VisionTransformer(
        image_size=32,
        patch_size=8,
        num_layers=2,
        num_heads=2,
        hidden_dim=16,
        mlp_dim=32,
        num_classes=5,
        dropout=0.1,
    )
    model = randomise(vit.double())
    x, y = data(17, 3, 32, 32, classes=5)  # as many images as tokens: the two must not be confused
    assert_same(importance(model, [(x, y)], estimator), reference(model, x, y, estimator))
    raw = (
        "class_token",
        "pos_embedding",
        "in_proj_weight",
        "in_proj_bias",
        "out_proj.weight",
        "out_proj.bias",
    )
    assert one_by_one == {name for name, _ in model.named_parameters() if name.endswith(raw)}


class SequenceFirst(nn.Module):
    """Runs its layers on (T, N, d): the first dimension is not the sample."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.norm, self.head = nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(
            self.norm(self.inner(torch.unflatten(x, 1, (5, 4)).transpose(0, 1)).tanh()).mean(0)
        )
        return logits


class Twice(nn.Module):
    """Calls a module twice."""

    def __init__(self) -> None:
        super().__init__()
        self.shared, self.head = nn.Linear(5, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.shared(self.shared(x).tanh()).relu())
        return logits


class Tied(nn.Module):
    """Two modules with one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.head = nn.Linear(5, 5), nn.Linear(5, 5), nn.Linear(5, 3)
        self.b.weight = self.a.weight

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.b(self.a(x).tanh()))
        return logits


class BehindItsBack(nn.Module):
    """Uses a module's weight once by calling the module and once without."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.head = nn.Linear(5, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.a(x).tanh() @ self.a.weight)
        return logits


class OnlyBehindItsBack(nn.Module):
    """Calls a module in vain and uses its weight elsewhere; one more by `forward`, one by keyword."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.head = nn.Linear(5, 5), nn.Linear(5, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        self.a(x)
        logits: Tensor = self.head(input=self.b.forward((x @ self.a.weight).tanh()))
        return logits


class Scaled(nn.Linear):
    """A subclass that computes something else."""

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = 2 * super().forward(x)
        return logits


class DataDependent(nn.Module):
    """Control flow that vmap cannot follow, around a raw parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.head = nn.Parameter(torch.ones(5)), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = x * self.scale
        logits: Tensor = self.head(x if x.sum().item() > -1e9 else -x)
        return logits


class ChangesInput(nn.Module):
    """Changes a layer's input in place after the layer has read it."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.head = nn.Linear(5, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = x.clone()
        y = self.a(x)
        x.mul_(2)
        logits: Tensor = self.head(y)
        return logits


class Shared(nn.Module):
    """A layer whose input is the same for all samples and has one row."""

    def __init__(self) -> None:
        super().__init__()
        self.token, self.a, self.head = nn.Parameter(torch.ones(1, 5)), nn.Linear(5, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(x * self.a(self.token))
        return logits


class Attention(nn.Module):
    """nn.TransformerEncoderLayer, which has an inference path of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(4, 2, 6, batch_first=True)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.layer(torch.unflatten(x, 1, (-1, 4))).mean(1))
        return logits


def hooked() -> nn.Module:
    model = nn.Sequential(nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 3))
    model[0].register_forward_hook(lambda module, args, output: output * 3)
    return model


SLOW: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], set[str]]] = {
    "sequence_first": (
        SequenceFirst,
        (5, 20),
        {"inner.weight", "inner.bias", "norm.weight", "norm.bias"},
    ),
    "twice": (Twice, (6, 5), {"shared.weight", "shared.bias"}),
    "tied": (Tied, (6, 5), {"a.weight"}),
    "behind_its_back": (BehindItsBack, (6, 5), {"a.weight"}),
    "only_behind_its_back": (
        OnlyBehindItsBack,
        (6, 5),
        {"a.weight", "b.weight", "b.bias", "head.weight", "head.bias"},
    ),
    "subclass": (lambda: nn.Sequential(Scaled(5, 4), nn.Linear(4, 3)), (6, 5), {"0.weight", "0.bias"}),
    "input_without_samples": (Shared, (6, 5), {"token", "a.weight", "a.bias"}),
    "data_dependent": (DataDependent, (6, 5), {"scale"}),
    "attention": (
        Attention,
        (5, 20),
        {
            f"layer.self_attn.{name}"
            for name in ("in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias")
        },
    ),
    "hooked": (hooked, (6, 5), set()),
    # A linear layer's output on sequences is a view; autograd re-bases it when it is changed in place.
    "view_changed_in_place": (
        lambda: nn.Sequential(
            Tokens(4), nn.Linear(4, 6), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(30, 3)
        ),
        (6, 20),
        {"1.weight", "1.bias"},
    ),
    "weight_norm": (
        lambda: nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(5, 4)), nn.Linear(4, 3)),
        (6, 5),
        {"0.bias", "0.parametrizations.weight.original0", "0.parametrizations.weight.original1"},
    ),
}


@pytest.mark.parametrize("estimator", PER_SAMPLE, ids=lambda e: e.loss)
@pytest.mark.parametrize("name", SLOW)
def test_what_no_rule_explains_is_differentiated_sample_by_sample(
    name: str, estimator: Estimator, one_by_one: set[str]
) -> None:
    build, shape, slow_names = SLOW[name]
    torch.manual_seed(0)
    model = randomise(build().double())
    x, y = data(*shape)
    assert_same(importance(model, [(x, y)], estimator), reference(model, x, y, estimator))
    assert one_by_one == slow_names


def test_batch_norm_without_running_statistics_does_not_mix_samples() -> None:
    model = randomise(
        nn.Sequential(
            nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3, track_running_stats=False), nn.Flatten(), nn.Linear(27, 3)
        )
    ).double()
    x, y = data(4, 2, 5, 5)
    got = importance(model, [(x, y)], SSD_PER_SAMPLE)
    assert_same(got, reference(model, x, y, SSD_PER_SAMPLE))


def test_input_changed_in_place_is_never_read_silently() -> None:
    model = ChangesInput().double()
    randomise(model)
    x, y = data(6, 5)
    try:
        got = importance(model, [(x, y)], SSD_PER_SAMPLE)
    except RuntimeError as problem:  # autograd's own verdict on such a model
        assert "inplace" in str(problem)
    else:
        plain = nn.Sequential(model.a, model.head)
        expected = reference(plain, x, y, SSD_PER_SAMPLE)
        assert_same(got, dict(zip(got, expected.values(), strict=True)))


class WithSpare(nn.Module):
    """A model with a layer and a raw parameter that it never uses."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.spare, self.net, self.spare_too = nn.Linear(2, 2), net, nn.Parameter(torch.ones(2))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.net(x)
        return logits


@pytest.mark.parametrize("estimator", ALL, ids=str)
def test_frozen_and_unused_parameters_get_zeros(estimator: Estimator) -> None:
    model, x, y = fixture_t()
    expected = importance(model, batches_of(x, y), estimator)
    holder = WithSpare(model).double()
    model.get_parameter("0.weight").requires_grad_(False)
    got = importance(holder, batches_of(x, y), estimator)
    assert list(got) == [name for name, _ in holder.named_parameters()]
    for name, p in holder.named_parameters():
        if name == "net.0.weight" or name.startswith("spare"):
            assert torch.equal(got[name], torch.zeros_like(p))
        else:
            assert torch.equal(got[name], expected[name.removeprefix("net.")])
    assert not model.get_parameter("0.weight").requires_grad
    holder.requires_grad_(False)
    assert total(importance(holder, batches_of(x, y), estimator)) == 0


def test_batch_mean_agrees_with_backward() -> None:
    torch.manual_seed(0)
    model = randomise(conv_net().double())
    x, y = data(6, 2, 9, 9)
    got = importance(model, batches_of(x, y), SSD)
    model.eval()
    expected = {name: torch.zeros_like(p.detach()) for name, p in model.named_parameters()}
    for images, labels in batches_of(x, y):
        model.zero_grad()
        torch.autograd.backward(F.cross_entropy(model(images), labels))
        for name, p in model.named_parameters():
            assert p.grad is not None
            expected[name] += p.grad.square() / 2
    assert_same(got, expected)


# --- properties -----------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(12)), st.integers(1, 13), st.sampled_from(PER_SAMPLE))
def test_per_sample_depends_on_neither_batch_size_nor_order(
    order: list[int], size: int, estimator: Estimator
) -> None:
    model, x, y = fixture_t()
    got = importance(model, batches_of(x[order], y[order], size), estimator)
    assert_same(got, importance(model, [(x, y)], estimator), 1e-12)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=20), st.integers(0, 3), st.sampled_from(PER_SAMPLE))
def test_per_sample_ratio_has_a_ceiling(labels: list[int], forget: int, estimator: Estimator) -> None:
    n = len(labels)
    x, _ = data(n, 5, seed=n)
    y = torch.tensor(labels)
    chosen = y == forget
    if not chosen.any():
        return
    model = randomise(nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 4)).double(), seed=forget)
    of_forget = importance(model, [(x[chosen], y[chosen])], estimator)
    of_all = importance(model, batches_of(x, y), estimator)
    for name in of_all:
        used = of_forget[name] > 0
        ratio = of_forget[name][used] / of_all[name][used]
        assert (ratio <= n / int(chosen.sum()) * (1 + 1e-12) + 1e-12).all()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=30),
    st.integers(1, 31),
    st.lists(st.integers(0, 5), max_size=4, unique=True),
)
def test_class_sorted_order(labels: list[int], size: int, last: list[int]) -> None:
    y = torch.tensor(labels)
    batches = batch_indices(y, size, "class_sorted", last=last)
    assert [len(b) for b in batches[:-1]] == [size] * (len(batches) - 1) and 1 <= len(batches[-1]) <= size
    classes = [c for c in range(5) if c not in last] + last
    assert torch.cat(batches).tolist() == [i for c in classes for i in range(len(y)) if labels[i] == c]


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 30), st.integers(1, 31), st.integers(0, 3))
def test_given_and_shuffled_orders(n: int, size: int, seed: int) -> None:
    y = torch.zeros(n, dtype=torch.long)
    assert torch.cat(batch_indices(y, size, "given")).tolist() == list(range(n))
    before = torch.get_rng_state()
    shuffled = torch.cat(batch_indices(y, size, "shuffled", seed=seed))
    assert torch.equal(before, torch.get_rng_state())
    assert sorted(shuffled.tolist()) == list(range(n))
    torch.rand(1)
    assert torch.equal(shuffled, torch.cat(batch_indices(y, size + 1, "shuffled", seed=seed)))
    if n > 8:
        assert shuffled.tolist() != torch.cat(batch_indices(y, size, "shuffled", seed=seed + 1)).tolist()


# --- nothing is left behind -----------------------------------------------------------------------


class Randomised(nn.Module):
    """Consumes random numbers, also in eval mode."""

    def forward(self, x: Tensor) -> Tensor:
        return x + 0 * torch.rand(x.shape[0], 1, dtype=x.dtype)


def mixed_model() -> nn.Module:
    """BatchNorm, dropout, a frozen layer, mixed training flags, an existing `.grad` and a raw parameter."""
    model = nn.Sequential(
        nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), Scaled(4, 4), Randomised(), nn.Linear(4, 3)
    ).double()
    model.train()
    model[1].eval()
    model[0].bias.requires_grad_(False)
    model[5].weight.grad = torch.full((3, 4), 7.0, dtype=torch.float64)
    return model


def everything_about(model: nn.Module) -> list[object]:
    return [
        {name: value.clone() for name, value in model.state_dict().items()},
        {name: None if p.grad is None else p.grad.clone() for name, p in model.named_parameters()},
        {name: p.requires_grad for name, p in model.named_parameters()},
        [m.training for m in model.modules()],
        [len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in model.modules()],
        torch.get_rng_state(),
    ]


def same(a: object, b: object) -> bool:
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return a == b


@pytest.mark.parametrize("estimator", ALL, ids=str)
@pytest.mark.parametrize("end", ["normal", "cancelled", "failing"])
def test_the_model_is_left_as_it_was(estimator: Estimator, end: str) -> None:
    _, x, y = fixture_t()
    model = mixed_model()
    before = everything_about(model)
    seen: list[float] = []

    def progress(share: float, note: str) -> None:
        seen.append(share)
        if end == "cancelled" and share > 0.5:
            raise Cancelled

    batches = batches_of(x, y)
    if end == "failing":
        batches[1] = (x[:4, :2], y[:4])
    if end == "normal":
        importance(model, batches, estimator, progress=progress)
        assert seen == pytest.approx([1 / 3, 2 / 3, 1])
    else:
        with pytest.raises(Cancelled if end == "cancelled" else RuntimeError):
            importance(model, batches, estimator, progress=progress)
        assert seen == pytest.approx([1 / 3, 2 / 3] if end == "cancelled" else [1 / 3])
    assert all(same(a, b) for a, b in zip(before, everything_about(model), strict=True))


@pytest.mark.parametrize("estimator", ALL, ids=str)
def test_generators_and_no_grad_and_train_mode(estimator: Estimator) -> None:
    model, x, y = fixture_t()
    expected = importance(model, batches_of(x, y), estimator)
    shares: list[float] = []

    def stream() -> Iterator[Batch]:
        yield from batches_of(x, y)

    with torch.no_grad():
        silent = importance(model, stream(), estimator, progress=lambda share, note: shares.append(share))
        assert not shares and not torch.is_grad_enabled()
        importance(model, stream(), estimator, progress=lambda share, note: shares.append(share), total=4)
        importance(model, stream(), estimator, progress=lambda share, note: shares.append(share), total=2)
    assert shares == [0.25, 0.5, 0.75, 0.5, 1, 1]
    assert all(torch.equal(silent[name], expected[name]) for name in expected)
    assert not any(value.requires_grad for value in silent.values())


def test_dropout_is_off() -> None:
    model = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.9), nn.Linear(8, 3)).double().train()
    _, x, y = fixture_t()
    for estimator in ALL:
        a, b = (importance(model, [(x, y)], estimator) for _ in range(2))
        assert all(torch.equal(a[name], b[name]) for name in a)
        assert all(value.count_nonzero() == value.numel() for name, value in a.items() if name == "0.bias")


# --- precision ------------------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", ALL, ids=str)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.1)])
def test_lower_precisions(dtype: torch.dtype, tolerance: float, estimator: Estimator) -> None:
    model, x, y = fixture_t()
    x, y = x.repeat(50, 1), y.repeat(50)
    expected = importance(model, batches_of(x, y, 40), estimator)
    got = importance(model.to(dtype), batches_of(x.to(dtype), y, 40), estimator)
    for name, value in expected.items():
        assert got[name].dtype == dtype
        assert (got[name].double() - value).norm() <= tolerance * value.norm()


def test_bfloat16_sums_do_not_stall() -> None:
    """Adding equal terms in bfloat16 stops at 256 times the term; 600 batches of one image must not."""
    model = nn.Linear(1, 2, bias=False).bfloat16()
    nn.init.zeros_(model.weight)
    batch = (torch.ones(1, 1, dtype=torch.bfloat16), torch.zeros(1, dtype=torch.long))
    for estimator in (SSD, SSD_PER_SAMPLE):
        assert importance(model, [batch] * 600, estimator)["weight"].tolist() == [[0.25], [0.25]]
    many = (batch[0].expand(600, 1), batch[1].expand(600))
    assert importance(model, [many], SSD_PER_SAMPLE)["weight"].tolist() == [[0.25], [0.25]]


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", ALL, ids=str)
def test_bad_batches_are_named(estimator: Estimator) -> None:
    model, x, y = fixture_t()
    good = (x, y)
    with pytest.raises(ValueError, match="batches must hold at least 1 batch, got 0"):
        importance(model, [], estimator)
    with pytest.raises(
        ValueError, match=r"batch 2 \(counting from 1\): images must have shape .* got shape \(0, 3\)"
    ):
        importance(model, [good, (x[:0], y[:0])], estimator)
    with pytest.raises(ValueError, match=r"batch 3 .*: the loss must be finite"):
        importance(model, [good, good, (x * float("nan"), y)], estimator)
    with pytest.raises(ValueError, match=r"logits of shape \(12, K\), got shape \(12, 3, 1\)"):
        importance(nn.Sequential(model, nn.Unflatten(1, (3, 1))), [good], estimator)
    with pytest.raises(ValueError, match="total must be at least 1, got 0"):
        importance(model, [good], estimator, total=0)


class SquareRoot(nn.Module):
    """Finite at zero, but with an infinite slope."""

    def forward(self, x: Tensor) -> Tensor:
        return x.sqrt()


@pytest.mark.parametrize("estimator", [SSD, SSD_PER_SAMPLE], ids=str)
def test_infinite_gradients_are_named(estimator: Estimator) -> None:
    model = nn.Sequential(nn.Linear(3, 3), SquareRoot()).double()
    nn.init.zeros_(model.get_parameter("0.weight"))
    nn.init.zeros_(model.get_parameter("0.bias"))
    _, x, y = fixture_t()
    with pytest.raises(ValueError, match=r"batch 1 .*: the gradient of 0\.\w+ must be finite"):
        importance(model, [(x, y)], estimator)


@pytest.mark.parametrize("last_layer", [nn.Softmax(dim=1), nn.LogSoftmax(dim=1)])
@pytest.mark.parametrize("estimator", [LFSSD, LFSSD_PER_SAMPLE], ids=str)
def test_squared_norm_refuses_probabilities(last_layer: nn.Module, estimator: Estimator) -> None:
    model, x, y = fixture_t()
    with pytest.raises(ValueError, match=r"batch 1 .*: squared_norm needs raw logits"):
        importance(nn.Sequential(model, last_layer), [(x, y)], estimator)
    importance(nn.Sequential(model, last_layer), [(x, y)], SSD)  # harmless there


def test_bad_arguments_are_named() -> None:
    y = torch.tensor([0, 1])
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        batch_indices(y, 0, "given")
    with pytest.raises(
        ValueError, match=r"labels must have shape \(n,\) with n at least 1, got shape \(0,\)"
    ):
        batch_indices(y[:0], 1, "given")
    with pytest.raises(ValueError, match="order must be one of given, class_sorted, shuffled, got 'sorted'"):
        batch_indices(y, 1, "sorted")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"last must name each class at most once, got \[1, 1\]"):
        batch_indices(y, 1, "class_sorted", last=[1, 1])
    with pytest.raises(ValueError, match="loss must be one of cross_entropy, squared_norm, got 'mse'"):
        Estimator("mse", "per_sample")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="unit must be one of batch_mean, per_sample, got 'epoch'"):
        Estimator("squared_norm", "epoch")  # type: ignore[arg-type]


def test_rules_are_registered_once_and_checked() -> None:
    with pytest.raises(ValueError, match="Linear"):
        per_sample_rule(nn.Linear)(lambda module, x, g, magnitude: {})

    class Wrong(Offset):
        pass

    per_sample_rule(Wrong)(lambda module, x, g, magnitude: {"weight": magnitude(g).sum()})
    try:
        with pytest.raises(ValueError, match=r"rule of Wrong must return weight of shape \(1, 3\), got \(\)"):
            importance(
                nn.Sequential(Wrong(3)).double(),
                [(torch.ones(2, 3).double(), torch.tensor([0, 1]))],
                SSD_PER_SAMPLE,
            )
    finally:
        del module_under_test._RULES[Wrong]
