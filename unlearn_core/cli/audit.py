"""`audit`: unlearn once and try to tell the result from retraining."""

from __future__ import annotations

import argparse

import numpy as np

from unlearn_core.audit.beside import self_test
from unlearn_core.audit.evidence import ORIGINAL, passes
from unlearn_core.audit.promise import RATE, promise_of
from unlearn_core.audit.report import TITLES, report
from unlearn_core.audit.roc import said
from unlearn_core.cli.output import bar, concluded, described, print_heading, print_json, print_table
from unlearn_core.cli.typed import Declare, add_choice, choice_of
from unlearn_core.study.run import run


def declare(command: Declare) -> None:
    """Add the command."""
    add_choice(command("audit", audit, "unlearn once and try to tell the result from retraining"))


def audit(arguments: argparse.Namespace) -> int:
    """One run under membership attacks, and beside retrained networks."""
    chosen = choice_of(arguments)
    with bar(arguments) as progress:
        found = run(chosen, progress)
    beside = found.yardstick
    made = report(found.logits, beside.models[ORIGINAL].logits, np.stack([seed.logits for seed in beside.retrained])
                  if beside.retrained else None, beside.labels, beside.member, beside.forgotten)
    promise, strongest = promise_of(found.outcome.trace), made.attacks[made.strongest].unlearned
    if arguments.json:
        told = made.told and {
            name: {"value": placement.value, "retrained": placement.null.tolist(), "place": placement.place}
            for name, placement in (("distance", made.told.distance.placement),
                                    ("privacy_score", made.told.score.placement))}
        near = made.told and {
            "needle": made.told.relative.needle, "retrained": made.told.relative.null.tolist(),
            "side": made.told.relative.side, "p": made.told.relative.p,
            "klom": made.told.klom and made.told.klom.mean,
            "klom_retrained": made.told.klom and made.told.klom.null.tolist(),
            "tried": {check.title: {"held_out": len(check.held_out), "passing": check.passing, "worth": check.worth,
                                    "original_passes": passes(check.judged[ORIGINAL])}
                      for check in found.audit.beside if check.judged}}
        print_json(described(chosen) | {
            **concluded(found), "headline": made.headline, "told_by": told, "relative": near,
            "promise": promise and {"epsilon": promise.epsilon, "delta": promise.delta,
                                    "tpr": {str(RATE): promise.found}, "auc": promise.auc, "empty": promise.empty},
            "strongest": made.strongest, "seeds": made.seeds, "called_member": made.called_member,
            "attacks": {name: {"auc": attack.unlearned.auc,
                               "auc_interval": None if np.isnan(attack.interval.auc[0]) else attack.interval.auc,
                               "balanced_accuracy": attack.unlearned.balanced_accuracy,
                               "tpr": {str(low.rate): low.value for low in attack.unlearned.low},
                               "original_auc": attack.original.auc,
                               "retrained_auc": attack.null.auc.tolist() if attack.null else []}
                        for name, attack in made.attacks.items()}})
        return 0
    print_heading(chosen)
    print(found.audit.verdict)
    print_table([["Check", "", "What it says"], *([mark.title, mark.status, mark.said]
                                                   for mark in found.audit.verdict.marks)])
    print_table([["Threshold on", "AUC", "95 % interval", "Original", f"Retrained (seeds: {made.seeds})",
                   "TPR at 1 % FPR"],
                  *([TITLES[name], f"{attack.unlearned.auc:.3f}", said(attack.interval.auc, ".3f"),
                     f"{attack.original.auc:.3f}",
                     f"{attack.null.auc.min():.3f} to {attack.null.auc.max():.3f}" if attack.null else "none",
                     f"{attack.unlearned.low[0].value:.1%}" if attack.unlearned.low[0].resolved else "not resolved"]
                    for name, attack in made.attacks.items())])
    print(made.headline)
    if promise is not None:
        print(f"Promised: {promise}. {promise.beside(strongest)}")
    if made.told is None:
        print("Nearer to retraining or to the original: this takes at least three retrained networks, and for this "
              "choice they are not at hand.")
    else:
        klom = made.told.klom
        for sentence, check in zip((made.told.relative.sentence, "" if klom is None else klom.sentence),
                                   found.audit.beside, strict=True):
            if sentence:
                print(sentence, self_test(check) if check.judged else "")
    return 0
