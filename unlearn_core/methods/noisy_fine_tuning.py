"""Noisy fine-tuning: a promise (epsilon, delta) that what was forgotten is gone (Koloskova et al., arXiv 2506.06985).

The network x^ is pulled to within C0 of a centre c that no data shaped, x_0 = c + clip(x^ - c, C0). Then T noisy steps
on retained images, with batches B_t and noise n_t ~ N(0, sigma^2 I) for all weights,

    x_{t+1} = psi_t(x_t) + n_{t+1},   psi_t(x) = x - gamma clip(g(x; B_t), C1) - p (x - c),   0 <= p <= 1,

and then ordinary training on retained images. That is the paper's method with gradient clipping, where p = gamma
lambda and c = 0; here a fresh initialisation may be the centre too. The paper's own constants could not be read, so
sigma follows from the bound below, which is proved here and not taken from there.

**Promise.** Let D and D' be two training sets with the same retained images, but with any others to be forgotten, few
or many or none. Then for every set A of weights Pr[U(D) in A] <= e^epsilon Pr[U(D') in A] + delta. With none to be
forgotten, D' is the retain set, and this is (epsilon, delta)-unlearning.

**Proof.** Take the same batches for both. Write k = 1 - p and s = 2 gamma C1, so that |psi_t(x) - psi_t(y)| <= k |x -
y| + s. Let x_t run from the start of D, and let y_0 be that of D'; |x_0 - y_0| <= 2 C0. Set y_{t+1} = psi_t(y_t) +
h_{t+1} with h_{t+1} = v_{t+1} + n_{t+1}, where v_{t+1} is psi_t(x_t) - psi_t(y_t), shortened to a length of at most
a_{t+1}. Then |x_{t+1} - y_{t+1}| <= max(0, k |x_t - y_t| + s - a_{t+1}). With

    a_t = S k^{T-t} / sum_{i<T} k^{2i},   S = 2 C0 k^T + s sum_{i<T} k^i

the bound z_t of that recursion without the maximum ends at z_T = 0. It is never negative before: z_t k^-t grows by
k^-t (s - a_t), and a_t rises with t, so that it first rises and then falls, from 2 C0 to 0. (For k = 0 only the last
step counts: a_T = s.) Hence y_T = x_T. Now y_T is one function of h_1 ... h_T. If x runs from D, then h_t, given h_1
... h_{t-1}, is N(v_t, sigma^2 I) with |v_t| <= a_t, since v_t is known from what came before. If every h_t were N(0,
sigma^2 I), y_T would be what D' gives. So no test tells the two apart better than T Gaussian mechanisms of
sensitivities a_t, one after the other, which together are mu-GDP with mu^2 = sum a_t^2 / sigma^2 (composition of
Gaussian differential privacy, Dong, Roth and Su, arXiv 1905.02383), that is

    mu = S / (sigma sqrt(sum_{i<T} k^{2i})).

mu-GDP is (epsilon, delta) for delta = Phi(mu/2 - epsilon/mu) - e^epsilon Phi(-mu/2 - epsilon/mu) (the analytic
Gaussian mechanism, Balle and Wang, arXiv 1805.06083), and what is done afterwards with retained images alone takes
nothing away.

**What it rests on.** Every weight gets the noise: nothing is promised for a network with frozen weights, or with other
numbers that were learnt. In the noisy steps batch norms use the batch's statistics. Their running statistics hold the
original network and earlier steps, so they are thrown away and measured again after the last noisy step. The promise
is of the final weights: not of the numbers and pictures of the run, and not against somebody who knows the seed of the
noise. Floating-point noise is taken for normal.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.optimize import brentq
from scipy.special import log_ndtr, ndtr
from torch import Tensor, nn
from torch.nn import functional as F

from unlearn_core.measure.task import Task
from unlearn_core.methods import loop
from unlearn_core.methods.base import CHOSEN, TUNED, Hyperparameter, Method, Outcome, Preset, Settings
from unlearn_core.methods.training import batches, finite, trainable_copy, trained
from unlearn_core.nets import models
from unlearn_core.nets.train import one_cycle
from unlearn_core.progress import Progress, stage

_CONFIGURATION = "released configuration for CIFAR-10"
_NORMS = nn.modules.batchnorm._BatchNorm


def delta_of(mu: float, epsilon: float) -> float:
    """The smallest delta for which mu-GDP is (epsilon, delta), arXiv 1805.06083, Theorem 8.

    Args:
        mu: above 0; the distance of two normal distributions of variance 1.
        epsilon: at least 0.
    """
    return float(ndtr(mu / 2 - epsilon / mu) - math.exp(epsilon + log_ndtr(-mu / 2 - epsilon / mu)))


def mu_of(epsilon: float, delta: float) -> float:
    """The largest mu, less one part in 10^9 for rounding, at which mu-GDP is (epsilon, delta).

    Args:
        epsilon: above 0.
        delta: in (0, 1).
    """
    found = brentq(lambda mu: delta_of(mu, epsilon) - delta, 1e-6, math.sqrt(2 * epsilon) + 40, xtol=1e-13, rtol=1e-13)
    return float(found) * (1 - 1e-9)


def noise_deviation(mu: float, *, start: float, steps: int, longest: float, pull: float) -> float:
    """sigma, the standard deviation of each step's noise, at which the weights after the last step are mu-GDP.

    Args:
        mu: what is promised.
        start: C0, how far from the centre the network may begin.
        steps: T.
        longest: gamma C1, how far a gradient may move the weights in a step.
        pull: p, share of the way to the centre that every step goes, in [0, 1].
    """
    powers = (1.0 - pull) ** np.arange(steps)
    shift = 2 * start * (1 - pull) ** steps + 2 * longest * powers.sum()
    return float(shift / (mu * math.sqrt((powers**2).sum())))


def clip(vector: list[Tensor], longest: float) -> tuple[list[Tensor], float]:
    """The vector, its parts scaled alike so that it is no longer than `longest`, and its length before."""
    length = float(torch.stack([part.double().square().sum() for part in vector]).sum().sqrt())
    return [part * min(1.0, longest / length) if length else part for part in vector], length


def uncovered(model: nn.Module) -> str:
    """Why nothing is promised of this network, as a sentence; empty if something is."""
    if still := [name for name, p in model.named_parameters() if not p.requires_grad]:
        return (f"Nothing is promised: {still[0]} and what else is frozen may have been learnt from the forget set "
                "too, and gets no noise.")
    known = {f"{name}.{buffer}".lstrip(".") for name, module in model.named_modules() if isinstance(module, _NORMS)
             for buffer, _ in module.named_buffers(recurse=False)}
    if others := [name for name, value in model.named_buffers() if value.is_floating_point() and name not in known]:
        return f"Nothing is promised: {others[0]} may have been learnt from the forget set too, and gets no noise."
    return ""


def _measure_statistics(model: nn.Module, task: Task, parts: list[Tensor]) -> None:
    """Give every batch norm that may change the mean of the statistics of these batches, and of nothing before."""
    still = set(models.frozen(model))
    norms = [module for name, module in model.named_modules()
             if isinstance(module, _NORMS) and module.track_running_stats and name not in still]
    if not norms:
        return
    paces = [module.momentum for module in norms]
    for module in norms:
        module.reset_running_stats()
        module.momentum = None  # a plain mean
    loop.training_norms(model)
    with torch.no_grad():
        for part in parts:
            loop.logits(model, task, part)
    for module, pace in zip(norms, paces, strict=True):
        module.momentum = pace


def run(task: Task, settings: Settings, progress: Progress) -> Outcome:
    """Clip to a ball, take noisy steps, measure the statistics anew, fine-tune."""
    epsilon, delta, steps = float(settings["epsilon"]), float(settings["delta"]), int(settings["noisy_steps"])
    rate, longest, pull = float(settings["noisy_lr"]), float(settings["clip"]), float(settings["pull"])
    deviation = noise_deviation(mu_of(epsilon, delta), start=float(settings["start"]), steps=steps,
                                longest=rate * longest, pull=pull)
    order, noise, dropout = (task.generator("noisy fine-tuning", what) for what in ("order", "noise", "dropout"))
    model, size = trainable_copy(task.model), int(settings["batch_size"])
    kept = loop.some_retained(task, settings["retain_images"])
    weights = [p for p in model.parameters() if p.requires_grad]
    centre = [torch.zeros_like(p) for p in weights]
    if settings["centre"] == "fresh":
        new = models.fresh(task.model, task.generator("noisy fine-tuning", "centre"))
        centre = [p.detach() for p in new.parameters() if p.requires_grad]
    with torch.no_grad():
        inside, distance = clip([p - c for p, c in zip(weights, centre, strict=True)], float(settings["start"]))
        for p, c, d in zip(weights, centre, inside, strict=True):
            p.copy_(c + d)

    models.in_training(model)
    queue: list[Tensor] = []
    for step in range(steps):
        queue = queue or batches(kept, size, order)
        batch = queue.pop()
        with models.seeded(dropout):
            loss = F.cross_entropy(loop.logits(model, task, batch), task.train.labels[batch])
        finite(loss, f"noisy step {step + 1}")
        found = torch.autograd.grad(loss, weights, allow_unused=True, materialize_grads=True)
        gradients, _ = clip(list(found), longest)
        with torch.no_grad():
            for p, c, g in zip(weights, centre, gradients, strict=True):
                random = torch.randn(p.shape, generator=noise, dtype=torch.float64).to(p.dtype)
                p.copy_(p - rate * g - pull * (p - c) + deviation * random)
        progress(0.3 * (step + 1) / steps, f"noisy step {step + 1} of {steps}")

    _measure_statistics(model, task, batches(kept, size, order))
    losses = loop.relearn(
        task, model, settings,
        lambda optimiser, epochs, each: one_cycle(optimiser, float(settings["lr"]), epochs * each),
        "noisy fine-tuning, afterwards", stage(progress, 0.3, 1.0))
    progress(1.0, "done")
    reason = uncovered(task.model)
    trace = {} if reason else {"promised_epsilon": epsilon, "promised_delta": delta}
    trace |= {"noise_deviation": deviation, "distance_to_centre": distance, "distance_kept":
              min(distance, float(settings["start"])), "noisy_steps": float(steps), "steps": float(len(losses)),
              "first_loss": losses[0], "final_loss": losses[-1]}
    curve = loop.loss_curves("It begins after the last noisy step: high if next to nothing is left of what was learnt.",
                             loop.CROSS_ENTROPY, retained_images=losses)
    return trained(task, model, trace, warnings=[reason] if reason else [], exhibits=[curve])


def obstacle(task: Task, settings: Settings) -> str:
    """A fresh centre needs initial values that are known."""
    stale = models.cannot_renew(task.model) if settings["centre"] == "fresh" else []
    return f"The initial values of {', '.join(stale)} are not known: choose zero as the centre." if stale else ""


METHOD = Method(
    name="noisy_fine_tuning",
    title="Noisy fine-tuning",
    paper="Koloskova et al., ICML 2025, arXiv 2506.06985; with a bound of this project, derived in its file and not "
          "taken from the paper",
    about="Clips the network to a small ball, adds noise to every weight, then trains on retained images; promises "
          "(ε, δ).",
    family="noise",
    needs=frozenset({"retain images", "labels"}),
    hyperparameters=(
        Hyperparameter("epsilon", "ε", "What is promised: whatever an attacker looks for is at most e to the ε times "
                       "as likely as if other images had been forgotten, plus δ. A smaller ε promises more, for more "
                       "noise.",
                       CHOSEN, default=1.0, scale="log", low=0.1, high=10000.0),
        Hyperparameter("start", "Start radius", "How far from the centre the network may begin: larger keeps more of "
                       "it and needs more noise for the same promise.", f"{TUNED}; {_CONFIGURATION}: 1", default=0.01,
                       scale="log", low=0.001, high=100.0),
        Hyperparameter("lr", "Learning rate", "The highest learning rate of the training after the noise.",
                       f"{TUNED}; {_CONFIGURATION}: 0.1", default=0.1, scale="log", low=1e-5, high=1.0),
        loop.epochs(2, "Passes over the retained images after the noise.", CHOSEN),
        loop.retain_images(500, CHOSEN),
        Hyperparameter("noisy_steps", "Noisy steps", "Steps that add noise.", CHOSEN, default=1, scale="choice",
                       choices=(1, 2, 5, 10, 20, 50, 100, 200), advanced=True),
        Hyperparameter("noisy_lr", "Noisy rate", "Learning rate of the noisy steps.", f"{_CONFIGURATION}: 0.001",
                       default=0.001, scale="log", low=1e-5, high=1.0, advanced=True),
        Hyperparameter("clip", "Clip", "Longest gradient in a noisy step: longer ones are shortened.",
                       f"{CHOSEN}; {_CONFIGURATION}: 100", default=1.0, scale="log", low=0.01, high=100.0,
                       advanced=True),
        Hyperparameter("pull", "Pull", "Share of the way to the centre that every noisy step goes.",
                       f"{CHOSEN}; {_CONFIGURATION}: 0.5, the rate times a weight decay of 500", default=0.0,
                       scale="linear", low=0.0, high=1.0, advanced=True),
        Hyperparameter("centre", "Centre", "What the network is pulled to: fresh initial weights, or zero; no image "
                       "shaped either.", "not from the paper: fresh; the paper: zero", default="fresh", scale="choice",
                       choices=("fresh", "zero"), advanced=True),
        Hyperparameter("delta", "δ", "With what chance the promise may fail.", f"{_CONFIGURATION}: 1e-5", default=1e-5,
                       scale="log", low=1e-8, high=0.01, advanced=True),
        loop.batch_size(64, source=f"{CHOSEN}; {_CONFIGURATION}: 128"),
    ),
    work=run,
    obstacle=obstacle,
    afresh=True,  # about either centre: what the ball keeps is shorter than the noise
    presets={
        "official": Preset(
            {"epsilon": 10.0, "start": 1.0, "noisy_steps": 50, "noisy_lr": 0.001, "clip": 100.0, "pull": 0.5,
             "centre": "zero", "delta": 1e-5, "lr": 0.1, "epochs": 20, "retain_images": "all", "batch_size": 128},
            "Lengths, rates and δ of the released configuration for CIFAR-10; ε stands for its Rényi target of 10, and "
            "there are fewer steps."),
        "sweet spot": Preset({"epsilon": 1.0, "start": 0.01, "lr": 0.2, "epochs": 5},
                             "A promise that rules something out, and time enough to learn the others again."),
        "empty promise": Preset({"epsilon": 10000.0, "start": 10.0},
                                "So large an ε allows everything, and even so the noise is longer than what is kept."),
    },
)
