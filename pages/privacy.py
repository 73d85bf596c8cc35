"""Could an attacker tell? The outcome at hand under membership attacks, and beside retrained networks."""

from __future__ import annotations

from typing import cast

import streamlit as st

from ui.glossary import tip
from ui.opening import PATIENCE, rest_follows
from ui.panels import attack
from ui.panels.attacks import attacks_table, boxes, forgetful_shadows, judge, like, own_class
from ui.panels.bystanders import bystanders
from ui.panels.nearer import nearer
from ui.panels.retraining import retraining
from ui.present import headline, present
from ui.server.runtime import engine
from ui.state import state, tell_notes, view
from ui.theme import ink
from ui.views.attack import attack_view
from ui.views.game import game
from ui.waiting import ready
from unlearn_core.assets import AssetError
from unlearn_core.audit.evidence import ATTACKS
from unlearn_core.audit.promise import promise_of
from unlearn_core.audit.report import TITLES, AttackName, Report
from unlearn_core.methods import method
from unlearn_core.serving.judgement import submit_outputs
from unlearn_core.subjects.subject import subject

visitor = state()
tell_notes(visitor)
now = present(visitor)
headline(now, visitor)
if now.picture is None or now.former:
    st.stop()
scene, settled = now.picture
wanted = settled.choice

summary = st.container()
st.markdown("#### Members or never seen?")
name = cast(AttackName, view(visitor, "statistic", list(TITLES), "What the attacker looks at",
                             format_func=lambda n: TITLES[n][0].upper() + TITLES[n][1:], width=320,
                             help=tip("membership")))
picture, offer = st.container(), st.container()
try:
    with offer:
        forgetful = forgetful_shadows(wanted, scene, settled)
    with picture:
        logits = ready(submit_outputs(engine(), scene, settled), 2.5, "Evaluating on all images", slot="outputs")
    if logits is None:
        st.stop()
    found = judge(wanted, scene, settled, logits, forgetful)
except (AssetError, ValueError, RuntimeError) as problem:
    st.error(str(problem), icon=":material/error:")
    st.stop()
judged, drawn = found.all, found.drawn


def counted(found: Report, name: AttackName) -> str:
    """On how many training and never-seen images an attack is read."""
    return f"{found.attacks[name].unlearned.members:,} and {found.attacks[name].unlearned.others:,}"


lira = f"; LiRA, which knows the shown images alone: {counted(drawn, 'lira')}" if "lira" in drawn.attacks else ""
with summary:
    st.markdown(f"#### {judged.headline}")
    # Its check judges by the spread of all networks that were retrained without one group of this kind, and sees more.
    works = now.audit is not None and any(
        check.title == ATTACKS and check.worth == "works" for check in now.audit.checks)
    if judged.told is not None and not judged.informative and not works:
        also = judged.told.original_distance.placement.place == "apart"
        st.info("Even in the untouched original, none of these membership attacks sees the images clearly better than "
                "in networks that never saw them: passing them proves nothing here." + (
                    " The comparison with retraining, further down, does tell the original." if also else ""),
                icon=":material/info:")
    st.caption(f"The choice of the page See: {method(wanted.method).title} on {subject(wanted.network).title}, "
               f"forgetting {wanted.words}; its knobs are there. Computed "
               f"now on {(n := judged.attacks['margin'].unlearned.members):,} training image{'s' * (n > 1)} to be "
               f"forgotten and {judged.attacks['margin'].unlearned.others:,} {like(wanted, scene.seen)} that were "
               f"never seen (the dots in the picture: {counted(drawn, 'margin')} of them{lira}). Retrained reference: "
               + (f"{judged.seeds} network{'s' * (judged.seeds > 1)}, bundled or retrained here." if judged.seeds else
                  "none is at hand for this choice."))

with picture:
    if name not in judged.attacks:
        st.info(attack.missing(name, wanted.network), icon=":material/info:")
    else:
        st.caption("How to read this: ● is a training image to be forgotten, ◆ one of the "
                   f"{like(wanted, scene.seen)} that were never seen; upwards is the "
                   f"{attack.ABOUT[name].replace('true class', own_class(scene.request))}. Filled dots lie above the "
                   "threshold and are called members. If both wings look alike, this attacker learns nothing.")
        if visitor.plain:
            attack.plain_attack(judged, name, wanted.key, ink(), visitor)
        else:
            attack_view(wanted.subject, drawn, name, wanted.key, attack.domain(name, drawn.attacks[name]), scene.seen,
                        settled.logits, lambda: attack.worst(drawn, visitor))
            rest_follows(PATIENCE)
        attack.in_full(judged, name, ink(), wanted.subject, promise_of(settled.trace))

play = st.expander("Play the attacker: which of twenty images were trained on?", icon=":material/casino:",
                   on_change="rerun", key="play")
if play.open:
    with play:
        game(scene, settled)
attacks_table(judged)
bystanders(found.risk, wanted.network, ink())
retraining(judged, ink())
nearer(judged, drawn, wanted.subject, scene, now.audit.beside if now.audit else (), ink())
boxes(judged, wanted, scene.seen)
