"""A subject that nobody here has seen: colour, 40 pixels, 13 unequal classes named in Greek, persons, another network.

Every page opens on it, forgets a class, a person and twenty single images, and says what it cannot know.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from safetensors.torch import save_file

from tests.browser.test_one_verdict import words
from tests.subjects.test_own import GREEK
from unlearn_core.nets import models
from unlearn_core.nets.images import Groups, ImageSet
from unlearn_core.nets.train import Recipe, fit
from unlearn_core.progress import silent
from unlearn_core.subjects.parts import Images
from unlearn_core.subjects.subject import Subject, bundled

PERSONS = ("Ἀθηνᾶ", "Ζεύς", "Ἥρα", "Ἑρμῆς")
TWENTY = ",".join(map(str, range(3, 63, 3)))


def drawn(most: int, seed: int) -> ImageSet:
    """Bars whose place is the class and whose colour is the person; later classes have more images."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.cat([torch.full((most + c // 2,), c) for c in range(len(GREEK))])
    persons = torch.randint(0, len(PERSONS), labels.shape, generator=generator)
    pixels = torch.randint(0, 90, (len(labels), 3, 40, 40), generator=generator, dtype=torch.uint8)
    for i, (c, person) in enumerate(zip(labels.tolist(), persons.tolist(), strict=True)):
        pixels[i, person % 3, 3 * c:3 * c + 4] += 150
    return ImageSet("bars", pixels, labels, tuple(GREEK), (0.3,) * 3, (0.25,) * 3, {"person": Groups(PERSONS, persons)})


@pytest.fixture(scope="module")
def unseen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    train, test = drawn(6, 0), drawn(3, 1)
    model = models.build("shufflenet_v2_x0_5", channels=3, classes=13, size=40,
                         generator=torch.Generator().manual_seed(0))
    recipe = Recipe("adamw", 25, 32, 0.003, 0.0)
    fit(model, train, recipe, torch.Generator().manual_seed(0), silent)
    file = tmp_path_factory.mktemp("unseen") / "model.safetensors"
    save_file(model.state_dict(), file)
    own = Subject("unseen", "Bars", "bars", "shufflenet_v2_x0_5", tuple(GREEK), recipe, lambda: "unseen",
                  lambda kind, end: None, lambda: Images(train, test), lambda: file)
    patch = pytest.MonkeyPatch()
    for where in ("unlearn_core.subjects.subject", "ui.state", "ui.server.routes"):
        patch.setattr(f"{where}.subjects", lambda: bundled() | {"unseen": own})
    yield own
    patch.undo()


@pytest.mark.parametrize(("forget", "said"), [
    ("3", GREEK[3]), ("person:1", PERSONS[1]), (f"image:{TWENTY}", "these 20 images"),
], ids=["class", "person", "images"])
def test_every_page_answers_every_kind_of_request(unseen: Subject, forget: str, said: str) -> None:
    pages = {}
    for page, headline, everything in words({"network": "unseen", "forget": forget, "plain": "1"}):
        pages[page] = headline, " ".join(everything)
        if page != "methods":
            assert headline.startswith(f"Unknown: there is no network retrained without {said} to compare with"), page
    assert len({headline for page, (headline, _) in pages.items() if page != "methods"}) == 1
    assert "shadow models, and none of this network are at hand" in pages["privacy"][1]
    assert said in pages["playground"][1] and said in pages["embeddings"][1]
