"""Machine unlearning for image classifiers: methods, exact answers, and an honest audit.

>>> from unlearn_core import METHODS, Task, forget_classes, subject
>>> clothes = subject("small-resnet")
>>> task = Task(clothes.original(), clothes.images.train, forget_classes([0], len(clothes.classes)))
>>> ssd = METHODS["ssd"]
>>> outcome = ssd.run(task, {"alpha": 4}, lambda share, note: None)
"""

from unlearn_core.audit.gauges import read_gauges
from unlearn_core.measure.dampening import dampen
from unlearn_core.measure.estimator import Estimator
from unlearn_core.measure.ratio_index import build_index
from unlearn_core.measure.task import Task
from unlearn_core.methods import METHODS, method
from unlearn_core.nets.evaluate import evaluation_set, outputs
from unlearn_core.nets.request import forget_classes
from unlearn_core.progress import Cancelled
from unlearn_core.subjects.subject import subject

__all__ = ["METHODS", "Cancelled", "Estimator", "Task", "build_index", "dampen", "evaluation_set", "forget_classes",
           "method", "outputs", "read_gauges", "subject"]
