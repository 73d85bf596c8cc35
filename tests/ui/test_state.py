"""The address and the state: one table, both ways; what a page shows beyond the choice."""

from __future__ import annotations

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from ui.state import FIELDS, State, read_address, write_address
from unlearn_core.nets.request import Request

OTHERS = {"plain": True, "network": "small-vit", "forget": Request((0, 3)), "method": "unsir",
          "pair": ("unsir", "scrub"), "seed": 7}
"""A value of each field that is not its default."""


class Query(dict[str, str]):
    def to_dict(self) -> dict[str, str]:
        return dict(self)

    def from_dict(self, found: dict[str, str]) -> None:
        self.clear()
        self.update(found)


@pytest.fixture
def query(monkeypatch: pytest.MonkeyPatch) -> Query:
    made = Query()
    monkeypatch.setattr(st, "query_params", made)
    return made


@pytest.mark.parametrize("name", FIELDS)
def test_what_is_written_into_the_address_is_read_again(name: str, query: Query) -> None:
    visitor = State(method="unsir" if name == "seed" else State.method)  # others are not random
    setattr(visitor, name, OTHERS[name])
    write_address(visitor.choice(), visitor)
    assert name in query
    found = read_address(query)
    assert getattr(found, name) == OTHERS[name] != getattr(State, name) and not found.notes
    assert found.choice() == visitor.choice()


def test_the_bare_address_is_the_default_page(query: Query) -> None:
    write_address(State().choice(), State())
    assert query == {} and read_address({}).choice() == State().choice()


PAGE = """
import streamlit as st
from ui.state import state, view
st.write("shown: " + view(state(), "layer", ["head", "stem"], "Layer", {"block"}))
"""


@pytest.mark.parametrize(("given", "said"), [
    ("stem", ""), ("block", ""), ("moon", "layer: one of head, stem expected")])
def test_an_option_of_another_network_is_left_out_without_a_word(given: str, said: str) -> None:
    test = AppTest.from_string(PAGE, default_timeout=60)
    test.query_params["layer"] = given
    test.run()
    assert test.markdown[0].value == f"shown: {'stem' if given == 'stem' else 'head'}"
    assert said in test.warning[0].value if said else not test.warning
    assert ("layer" in test.session_state["lacuna"].views) == (given == "stem")
