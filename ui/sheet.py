"""The evidence sheet of the present choice, to take along: made when it is asked for, from what is at hand."""

from __future__ import annotations

from functools import partial

import streamlit as st

from ui.server.runtime import engine
from ui.state import PAIR, State, state
from ui.views.figures import figures
from unlearn_core.picture.file import picture
from unlearn_core.serving.fields import state_file
from unlearn_core.serving.judgement import Audit
from unlearn_core.serving.scenes import Scene, Settled
from unlearn_core.sheet import keys
from unlearn_core.sheet.evidence import evidence, weights_file
from unlearn_core.sheet.render import data, page
from unlearn_core.sheet.tables import archive, source, tables


def sheet(scene: Scene, settled: Settled, audit: Audit | None) -> None:
    """Files to download, made when pressed; they wait for the audit, since a first answer is no evidence."""
    with st.popover("Evidence sheet", icon=":material/description:", disabled=audit is None, width="stretch",
                    help="What was asked, what was done, what was found, and what that does not show."):
        if audit is None:
            return
        st.caption("Two to four pages to print, for who has to decide. Everything on them is in the data too, which "
                   "anybody with this project can check: `python -m unlearn_core verify FILE`. The live picture is one "
                   "file to drag without a network.")
        try:
            key = keys.server_key()
        except (ValueError, OSError) as problem:
            st.warning(f"The images cannot be hashed. {problem}", icon=":material/key_off:")
            return
        made = partial(evidence, engine(), scene, settled, audit, key)
        name = f"lacuna-{settled.choice.key}"
        for title, work, file, mime, icon in (
                ("Sheet to print (HTML)", lambda: page(made()), f"{name}-sheet.html", "text/html", "print"),
                ("Its data (JSON)", lambda: data(made()), f"{name}-evidence.json", "application/json", "data_object"),
                ("Weights (safetensors)", lambda: weights_file(engine(), scene, settled), f"{name}.safetensors",
                 "application/octet-stream", "download"),
                ("Live picture, one file (HTML)", lambda: picture(engine(), scene, settled, audit),
                 f"{name}-picture.html", "text/html", "swipe"),
                ("Tables (CSV and Parquet)", lambda: archive(tables(engine(), scene, settled, audit)),
                 f"{name}-tables.zip", "application/zip", "table"),
                ("State (TOML)", lambda: state_file(settled.choice, beyond(state())), f"{name}.toml",
                 "application/toml", "settings")):
            st.download_button(title, work, file, mime, on_click="ignore", icon=f":material/{icon}:", width="stretch",
                               key=f"sheet.{icon}")
        figures(settled.choice.key, source(settled.choice, audit))


def beyond(visitor: State) -> dict[str, str]:
    """What is shown beyond the choice, where it is not the default, as the address writes it."""
    return (visitor.views | ({"plain": "1"} if visitor.plain else {})
            | ({"pair": ",".join(visitor.pair)} if visitor.pair != PAIR else {}))
