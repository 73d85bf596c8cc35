"""LiRA on the drawn people: shadow models of them are bundled, so that persons have it as well."""

from __future__ import annotations

import numpy as np

from tests.browser.test_pages import app, settle
from unlearn_core.audit.membership import statistics
from unlearn_core.nets.evaluate import outputs
from unlearn_core.subjects.subject import subject


def test_shadow_models_know_members_of_the_original_better_than_by_luck() -> None:
    own = subject("people-resnet")
    shadows, seen = own.shadows(), own.evaluation
    assert shadows is not None and len(shadows.margins) == 64
    with_them = np.mean([shadows.margins[i][shadows.inside[i]].mean() - shadows.margins[i][~shadows.inside[i]].mean()
                         for i in range(64)])
    assert with_them > 1, "an image that was seen is answered more surely"
    logits = outputs(own.original(), seen.images.pixels()).logits
    score = shadows.score(statistics(logits, seen.labels)["margin"])
    above = np.mean(score[seen.member][:, None] > score[~seen.member][None])
    assert above > 0.7, "the area under its ROC"


def test_a_person_has_lira_and_bystanders_and_the_words_do_not_contradict_the_strip() -> None:
    test = app(network="people-resnet", forget="person:3", statistic="lira").switch_page("pages/privacy.py")
    settle(test.run())
    test.run()
    words = " ".join([*(m.value for m in test.markdown), *(i.value for i in test.info)])
    assert "the 64 shadow models themselves" in words and "it saw 1,728 images, a shadow model half of 2,328" in words
    assert "Whose risk rose most" in words and not test.exception
    assert "none of these membership attacks sees the images" not in words, "its check tells the original"
