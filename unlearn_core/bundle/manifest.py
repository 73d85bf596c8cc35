"""The manifest of the assets: what there is, with checksums and what each file holds."""

from __future__ import annotations

from unlearn_core import assets
from unlearn_core.bundle import make_people
from unlearn_core.bundle.make_fashion import FASHION_MNIST

ABOUT = {
    "data": "images uint8, labels; of Fashion-MNIST (N, 28, 28) and positions in the original file, of drawn people "
            "(N, 3, 32, 32) and persons",
    "networks": "weights in half precision: the original, or some of the seeds retrained without one class or person",
    "shadows": "margin of each evaluation image in every shadow model (models, N) and whether the model saw it, or the "
               "weights of the first of them in half precision",
    "sharded": "networks trained in shards: the state of each after each slice, in half precision",
    "references": "outputs of the retrained networks on the evaluation images, (seeds, N, classes), of drawn people in "
                  "half precision",
    "others": "outputs of the retrained networks on all other test images and on all other training images of their "
              "class, (seeds, N, classes) in half precision",
    "importances": "per-sample importance of every weight over the training images of each class and, last, over all",
    "maps": "UMAP positions of the evaluation images by the original's features, one map a layer",
    "grams": "Gram matrices of every layer's inputs over all training images, lower triangles",
    "histories": "sums of the updates that each class caused in the last recorded epochs of training",
    "verdicts": "what the verdict says of every bundled network and method (python -m unlearn_core.bundle.confusion)",
    "comparisons": "every method at its general defaults: measures of each seed, predictions and positions of the "
                   "first",
    "remains": "probe, relearning and CKA of the original, head zeroing and every retrained seed",
    "relative": "nearer to retraining or to the original, and KLoM, of networks of known truth and of each method as "
                "each request opens (python -m unlearn_core.bundle.relative)",
    "results": "every method on requests of every kind, five seeds each, a row a run, and gauges of the retrained "
               "networks (python -m unlearn_core.bundle.results)",
    "openings": "settings tried for each request and method, and how many of the judged images each still recognises, "
                "of the forgotten class and of each class (unlearn_core.subjects.openings)",
    "queues": "requests one after another: what is named rightly after each, of methods in fixed orders, and of "
              "networks retrained without each first part (python -m unlearn_core.bundle.queues)",
    "tuning": "settings tried when a method's defaults were chosen, best first (python -m unlearn_core.study.tune)",
    "landscapes": "SSD at its defaults on an (alpha, lambda) grid: gauges, map positions, predictions; or the gauges "
                  "for each way to measure importances, (classes, alphas, lambdas, 3)",
}


def list_assets() -> None:
    """Write the manifest of everything that is there."""
    found = {f"{folder}/{file.name}": about for folder, about in ABOUT.items()
             for file in (assets.ROOT / folder).glob("*.*")}
    assets.write_manifest({"fashion-mnist": FASHION_MNIST, "people": make_people.source()}, found)
