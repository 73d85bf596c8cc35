"""A network and pictures of your own, in memory: forget a class with three methods, and read what that did.

Run it from the repository: `.venv/bin/python -m examples.own_network`, a few seconds. Put your own network in place of
`network`, your own pictures in place of `pictures`, and your own training in place of `trained`.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from unlearn_core import METHODS, ImageSet, Task, evaluation_set, forget_classes, outputs, read_gauges
from unlearn_core.audit.report import report
from unlearn_core.nets.train import Recipe

CLASSES = ("left", "middle", "right")
RECIPE = Recipe("adamw", epochs=12, batch_size=30, peak_lr=0.01, weight_decay=0.0, flip=False)


def pictures(count: int, generator: torch.Generator) -> ImageSet:
    """Grey pictures of 16 pixels with a bar in one of three places: any bytes of shape (N, C, H, W) will do."""
    labels = torch.arange(count) % len(CLASSES)
    pixels = torch.randint(0, 120, (count, 1, 16, 16), generator=generator, dtype=torch.uint8)
    for picture, label in zip(pixels, labels.tolist(), strict=True):
        picture[:, :, 5 * label:5 * label + 4] += 80
    return ImageSet("bars", pixels, labels, CLASSES, mean=(0.3,), std=(0.2,))


def network(generator: torch.Generator) -> nn.Module:
    """Any network that takes such pictures, ends in a linear layer and answers with logits, one a class."""
    model = nn.Sequential(nn.Conv2d(1, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU(), nn.Flatten(),
                          nn.Linear(256, 32), nn.ReLU(), nn.Linear(32, len(CLASSES)))
    with torch.no_grad():
        for weight in model.parameters():
            weight.uniform_(-0.1, 0.1, generator=generator)
    return model


def trained(images: ImageSet, seed: int) -> nn.Module:
    """An ordinary training loop."""
    generator = torch.Generator().manual_seed(seed)
    model = network(generator)
    optimiser = torch.optim.AdamW(model.parameters(), RECIPE.peak_lr, weight_decay=RECIPE.weight_decay)
    for _ in range(RECIPE.epochs):
        for chosen in torch.randperm(len(images), generator=generator).split(RECIPE.batch_size):
            loss = nn.functional.cross_entropy(model(images.pixels(chosen)), images.labels[chosen])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    return model.eval()


def main() -> None:
    """Forget the first class; print a line for each network."""
    train, test = (pictures(count, torch.Generator().manual_seed(count)) for count in (300, 150))
    original = trained(train, seed=0)
    task = Task(original, train, forget_classes([0], len(CLASSES)), recipe=RECIPE)  # the recipe only to retrain

    shown = evaluation_set(train, test)  # up to 100 images of each class of either part
    pixels, forgotten = shown.images.pixels(), shown.forgotten(task.request)

    def told(name: str, model: nn.Module, weights: dict[str, Tensor] | None = None) -> np.ndarray:
        said = outputs(model, pixels, weights)
        gauges = read_gauges(said, shown.labels, shown.member, forgotten)
        print(f"{name:20}", "  ".join(f"{gauge} {reading.value:6.1%}" for gauge, reading in gauges.items()))
        return said.logits

    before = told("original", original)
    kept = train.subset(task.split[1])
    retrained = np.stack([told(f"retrained, seed {seed}", trained(kept, seed)) for seed in (1, 2, 3)])
    # Of three balanced classes no ratio exceeds 3, so SSD's general default of 4 would select nothing.
    for name, settings in {"ssd": {"alpha": 1.5}, "neggrad_plus": {}, "head_zeroing": {}}.items():
        outcome = METHODS[name].run(task, settings, lambda share, note: None)
        after = told(METHODS[name].title, original, dict(outcome.weights))
        attacks = report(after, before, retrained, shown.labels, shown.member, forgotten).attacks
        print(f"{'':20} the strongest attack: AUC {max(attack.unlearned.auc for attack in attacks.values()):.2f}")


if __name__ == "__main__":
    main()
