"""The networks: a small ResNet and a small vision transformer of the project, torchvision's by name."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unlearn_core.nets.registered import registered, registered_network


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around a skip connection (He et al., arXiv 1512.03385, fig. 5 left)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.skip = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.skip = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        inner: Tensor = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(inner + self.skip(x))


class SmallResNet(nn.Module):
    """Three residual blocks of 16, 32 and 64 channels behind a stride-2 stem: 78 k parameters.

    The stem halves the image at once: a quarter of the work of a full-size first block, and with the
    saved time spent on more epochs, a better network.
    """

    chain = ("stem", "block1", "block2", "block3")
    """Modules that run one after the other, each on nothing but what the last one gave."""

    def __init__(self, channels: int = 1, classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(channels, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.block1 = ResidualBlock(16, 16, 1)
        self.block2 = ResidualBlock(16, 32, 2)
        self.block3 = ResidualBlock(32, 64, 2)
        self.head = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.block3(self.block2(self.block1(self.stem(x))))  # (N, 64, H/8, W/8)
        logits: Tensor = self.head(x.mean((2, 3)))
        return logits


class Offset(nn.Module):
    """Adds a learned position embedding; a module of its own so that per-sample gradients know its rule."""

    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(1, tokens, width))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.normal_(self.weight, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.weight


class SelfAttention(nn.Module):
    """Multi-head self-attention with one linear layer for queries, keys and values."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, tokens, width = x.shape
        q, k, v = self.qkv(x).view(n, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v)  # (N, heads, T, d)
        result: Tensor = self.out(mixed.transpose(1, 2).reshape(n, tokens, width))
        return result


class TransformerBlock(nn.Module):
    """Attention and a two-layer perceptron, each behind a layer norm (arXiv 2010.11929, fig. 1)."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        deeper: Tensor = self.mlp(self.norm2(x))
        return x + deeper


class SmallViT(nn.Module):
    """A vision transformer of four blocks of width 64 behind a convolutional stem: 159 k parameters.

    Three stride-2 convolutions make the tokens (16 for a 28-pixel image); so small a transformer learns
    more from 20,000 images this way than from cut-out patches (Xiao et al., arXiv 2106.14881).
    """

    chain = ("patch", "position", "blocks.0", "blocks.1", "blocks.2", "blocks.3")
    """Modules that run one after the other, each on nothing but what the last one gave."""

    def __init__(self, channels: int = 1, classes: int = 10, size: int = 28) -> None:
        super().__init__()
        self.patch = nn.Sequential(
            nn.Conv2d(channels, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
            nn.Conv2d(32, 64, 3, 2, 1),
        )
        self.position = Offset((-(-size // 8)) ** 2, 64)
        self.blocks = nn.Sequential(*(TransformerBlock(64, heads=4, hidden=128) for _ in range(4)))
        self.norm = nn.LayerNorm(64)
        self.head = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.position(self.patch(x).flatten(2).transpose(1, 2))  # (N, T, 64)
        logits: Tensor = self.head(self.norm(self.blocks(tokens)).mean(1))
        return logits


SMALL: dict[str, Callable[[int, int, int], nn.Module]] = {
    "small-resnet": lambda channels, classes, size: SmallResNet(channels, classes),
    "small-vit": SmallViT,
}


def build(name: str, *, channels: int, classes: int, size: int, generator: torch.Generator) -> nn.Module:
    """A freshly initialised network: one of `SMALL`, one that the operator registered, or any classification network of
    torchvision by name.

    Args:
        name: ``small-resnet``, ``small-vit``, of `registered.registered`, or in ``torchvision.models.list_models()``.
        channels: colour channels of the images; torchvision's networks take three.
        classes: number of outputs.
        size: height and width of the images in pixels.
        generator: owns the randomness of the initial weights.

    Raises:
        ValueError: if there is no such network, or it cannot take such images.
    """
    with seeded(generator):
        if name in SMALL:
            return SMALL[name](channels, classes, size).to(memory_format=torch.channels_last)
        if name in registered():
            return registered_network(name, channels, classes, size)
        import torchvision

        if name not in torchvision.models.list_models(module=torchvision.models):
            raise ValueError(f"name: one of {', '.join((*SMALL, *registered()))} or torchvision's classifiers "
                             f"expected, got {name!r}")
        if channels != 3:
            raise ValueError(f"channels: torchvision's networks take 3, got {channels}")
        sized: dict[str, object] = {"image_size": size} if name.startswith("vit") else {}
        if name in ("googlenet", "inception_v3"):
            sized["aux_logits"] = False  # in training mode they would give their further outputs along with the logits
        try:
            network: nn.Module = torchvision.models.get_model(name, weights=None, num_classes=classes, **sized)
        except AssertionError as error:
            raise ValueError(f"size: one that {name} takes expected, got {size} ({error})") from error
        return network


def takes_any_channels(name: str) -> bool:
    """Whether the network may be built for other than three colour channels."""
    return name in SMALL or name in registered()


_global_generator = threading.Lock()


@contextmanager
def seeded(generator: torch.Generator) -> Iterator[None]:
    """Lend PyTorch's global generator a seed and give its state back, for code that draws from it.

    Initial weights and dropout do. One thread at a time: what is done inside should be brief.
    """
    with _global_generator, torch.random.fork_rng(devices=[]):
        # Said to be there: the network may be built on the meta device.
        seed = torch.randint(2**31, (1,), generator=generator, device=generator.device)
        torch.default_generator.manual_seed(int(seed))
        yield


def fresh(model: nn.Module, generator: torch.Generator) -> nn.Module:
    """The same architecture with new initial weights: no module keeps what it has learnt, except frozen ones.

    Every module draws its weights as PyTorch does by default. For the networks of `SMALL` these are the very
    weights that `build` makes with the same generator.

    Args:
        model: left as it is.
        generator: owns the randomness of the initial weights.

    Raises:
        ValueError: if `cannot_renew` names any weight.
    """
    if stale := cannot_renew(model):
        raise ValueError(f"model: weights that their modules can draw anew expected, got {', '.join(stale)}")
    new = copy.deepcopy(model)
    kept = dict(model.named_buffers()).keys() & {
        f"{name}.{buffer}" for name in frozen(model) for buffer, _ in model.get_submodule(name).named_buffers()}
    with seeded(generator), torch.no_grad():
        new.apply(_renew)  # children before parents, as when they are built
        for value, before in zip(new.parameters(), model.parameters(), strict=True):
            if not before.requires_grad:
                value.copy_(before)
        for name in kept:
            new.get_buffer(name).copy_(model.get_buffer(name))
    return new


def frozen(model: nn.Module) -> list[str]:
    """Names of the modules that must stay as they are: nothing in them can be trained.

    A module without weights, such as a dropout or a batch norm without scale, goes with the module around it.
    """
    found: list[str] = []

    def visit(module: nn.Module, prefix: str, around: bool) -> None:
        own = list(module.parameters())
        fixed = not any(value.requires_grad for value in own) if own else around
        if fixed and prefix:
            found.append(prefix)
        for name, child in module.named_children():
            visit(child, f"{prefix}.{name}".lstrip("."), fixed)

    visit(model, "", False)
    return found


def in_training(model: nn.Module) -> nn.Module:
    """The network itself, in training mode; frozen modules stay in evaluation mode, and with them their statistics."""
    model.train()
    for name in frozen(model):
        model.get_submodule(name).eval()
    return model


def cannot_renew(model: nn.Module) -> list[str]:
    """Names of the trainable weights whose module does not say how they are drawn (no ``reset_parameters``)."""
    return [f"{prefix}.{name}".lstrip(".") for prefix, module in model.named_modules() if not _reset(module)
            for name, value in module.named_parameters(recurse=False) if value.requires_grad]


def _renew(module: nn.Module) -> None:
    if reset := _reset(module):
        reset()


def _reset(module: nn.Module) -> Callable[[], None] | None:
    # PyTorch's own attention layer has it under a private name.
    found: Callable[[], None] | None = getattr(module, "reset_parameters", getattr(module, "_reset_parameters", None))
    return found


def private_copy(model: nn.Module) -> nn.Module:
    """The same network with modules of its own, but the very same weights and buffers; about a millisecond.

    Hooks, evaluation mode and substituted weights live in the modules: with a copy for each piece of work,
    several threads can work on one network at once.
    """
    shared = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    return copy.deepcopy(model, shared)
