"""Widgets that others move: what a browser says before it has heard of a move moves nothing back."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest


def page() -> None:
    import streamlit as st

    from ui.mirror import showing, taken

    def turn() -> None:
        st.session_state["alpha"] = taken("slider")

    st.session_state.setdefault("alpha", 3)
    st.button("Too weak", key="preset", on_click=lambda: st.session_state.update(alpha=7))
    st.slider("α", 0, 10, key=showing("slider", st.session_state["alpha"]), on_change=turn)
    st.caption(f"α is {st.session_state['alpha']}")


def said(test: AppTest) -> str:
    assert not test.exception
    return str(test.caption[0].value)


def test_what_a_person_sets_stays() -> None:
    test = AppTest.from_function(page).run()
    test.slider[0].set_value(5).run()
    assert said(test) == "α is 5" and test.slider[0].value == 5 and test.slider[0].key == "slider"
    test.slider[0].set_value(3).run()
    assert said(test.run()) == "α is 3"


def test_a_move_by_others_is_shown_and_an_old_message_does_not_undo_it() -> None:
    test = AppTest.from_function(page).run()
    test.slider[0].set_value(5).run()
    old = test._tree.get_widget_states()  # what the browser says until it has heard of the preset
    test.button(key="preset").click().run()
    assert said(test) == "α is 7" and test.slider[0].value == 7
    test._run(old)
    assert said(test) == "α is 7" and test.slider[0].value == 7
    test.slider[0].set_value(5).run()
    assert said(test) == "α is 5", "the value that was stale then is as good as any"
