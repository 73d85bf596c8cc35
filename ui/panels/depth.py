"""At which stage an outcome no longer hands on what the original needs to recognise the images."""

from __future__ import annotations

import streamlit as st

from ui.server.runtime import engine
from ui.theme import NO_BAR
from ui.waiting import folded
from unlearn_core.figures.layers import group_bars
from unlearn_core.nets.request import POISONED
from unlearn_core.serving.depth import LITTLE, Depth, submit
from unlearn_core.serving.scenes import Scene, Settled


def depth_finding(found: Depth, poison: bool = False) -> str:
    """From which stage on it is lost, in one or two sentences; of a `poison` the label is not the truth."""
    names, shares = list(found.forget), [reading.value for reading in found.forget.values()]
    does, them = ("gives", "the images to be forgotten the class they were trained as") if poison else \
        ("recognises", "the images to be forgotten")
    if (lost := found.lost) is None:
        return (f"The outcome {does} {shares[-1]:.0%} of {them}, the original {found.before.value:.0%}: there is no "
                "fall to look for.")
    place = names.index(lost)
    if (stage := found.garbled) is not None:
        first = f"**{lost}** is the first that loses them, yet " if stage != lost else ""
        return (f"Of a stage nothing can be said: {first}behind **{stage}** the original {does} "
                f"{found.forget[stage].value:.0%} of {them} and {'recognises ' * poison}"
                f"{found.retain[stage].value:.0%} of the others, of which it knew {found.kept.value:.0%}. It does not "
                "understand what this network hands on, whatever the image.")
    kept = f"the original still {does} {shares[place - 1]:.0%}" if place else \
        f"the original itself {does} {found.before.value:.0%}"
    before = f"Behind **{names[place - 1]}**" if place else "Before the first stage"
    if 0 < place == len(names) - 1:
        rest = "all that" if shares[place - 1] > found.before.value - LITTLE else "most of what"
        return (f"{before} {kept} of {them}: {rest} it needs is still handed on, and only the last stage, **{lost}**, "
                f"brings that to {shares[-1]:.0%}.")
    return (f"{before} {kept} of {them}, behind **{lost}** {shares[place]:.0%}: there the outcome stops handing on "
            "what the original needs.")


def depth(scene: Scene, settled: Settled, ink: str) -> None:
    """From which stage on is it lost? Computed when it is opened."""
    box, found = folded("From which stage on is it lost?", ":material/stacked_line_chart:", "depth",
                        "Patching the original", lambda: submit(engine(), scene, settled))
    if found is None:
        return
    with box:
        poison = scene.request.kind == POISONED
        said = depth_finding(found, poison)
        st.markdown(said)
        first = next(iter(found.forget.values()))
        st.caption("How to read this: up to a stage the images run through this network, from there on through the "
                   "original. Solid bars: the images to be forgotten that are then "
                   f"{'given the class they were trained as' if poison else 'named rightly'} "
                   f"({first.images:,} training image{'s' * (first.images > 1)}, 95 % interval of the first bar "
                   f"{first.interval[0]:.0%} to {first.interval[1]:.0%}); hatched: all other unseen images. "
                   "Solid bars that stay long until the last one: the way to the answer is untouched, and only the "
                   "answer changed. Where the hatched bars fall too, the original no longer understands this network "
                   "at all, and the solid ones say little.")
        st.plotly_chart(group_bars({"images to be forgotten": {n: one.value for n, one in found.forget.items()},
                                    "other images": {n: one.value for n, one in found.retain.items()}}, ink),
                        key="patched", config=NO_BAR, alt=said.replace("**", ""))
