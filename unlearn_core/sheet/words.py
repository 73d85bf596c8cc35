"""What a sheet says whatever the numbers are. A test holds all of it to the words that must not stand there."""

from __future__ import annotations

from collections.abc import Mapping

from unlearn_core.audit.verdict import Level

TITLE = "Unlearning evidence sheet"

FORBIDDEN = ("erased", "proved", "proof", "certified", "certificate", "anonymous", "compliant", "compliance", "safe",
             "guaranteed", "completely")
"""Words for what no test of a network can show; no text of the project may use them of one."""

HOW_TO_READ = (
    "The grey line is the original network, before anything was done.",
    "The black bar spans retrained networks: trained anew from the start, without these images. They are what "
    "forgetting should look like.",
    "The orange dot is the network of this sheet. The thin line through it, and the small numbers, say how far off it "
    "may be, since only so many images were looked at (95 % interval).",
    "The light box: where one more retrained network would lie 99 times in 100. A point is 1 %.",
    "A check counts only if the original fails it and retrained networks pass it. The others are printed in grey: "
    "passing them means nothing here.",
    "“Passes” means that the number could be a retrained network's. It does not mean that nothing is left.",
)

MEANING: Mapping[Level, str] = {
    Level.UNKNOWN: "There is too little here to compare with, so this sheet cannot say whether the network forgot.",
    Level.NOT_FORGOTTEN: "The network still recognises what it was asked to forget.",
    Level.PARTLY: "The network recognises less of what it was asked to forget, but more than networks that never saw "
                  "it.",
    Level.DAMAGED: "The network lost something that it was to keep. It does not do what the original did.",
    Level.ANSWERS: "The network's answers look like those of networks that never saw the images. What is left inside "
                   "is not known.",
    Level.HIDDEN: "The network is silent about what it was asked to forget. A look inside still finds traces of it.",
    Level.OVER: "The network differs from retrained ones because more is gone than retraining takes. That difference "
                "can itself give away what was to be forgotten.",
    Level.TOLD: "At least one check can tell this network from networks that never saw the images.",
    Level.NOT_TOLD: "No check that works here could tell this network from networks that never saw the images. Checks "
                    "that were not made might.",
}

QUESTIONS: Mapping[str, str] = {
    "Attack success": "Of unseen images with the mark, how many does it give the class that the mark stands for?",
    "Forget accuracy": "How many of the images to be forgotten does it still name rightly?",
    "Sureness of the old answer": "How strongly does it lean towards the old answer?",
    "Threshold attacks": "Can simple attacks tell its training images from images it never saw?",
    "Distance of outputs": "Are its answers as near to retrained networks' as theirs are to each other's?",
    "Worst-case privacy score": "Can the best of many simple rules tell its answers from a retrained network's?",
    "Jensen–Shannon divergence": "Does it spread its answers over the classes as retrained networks do?",
    "Linear probe": "Can the old answer be read out again from what is inside?",
    "Layer similarity (CKA)": "Is what is inside still arranged as in the original?",
    "Relearn time": "How many steps of training until it knows the forgotten again?",
}
"""Each check as a question, by its title."""

GAUGE_QUESTIONS: Mapping[str, str] = {
    "forget": "Of the training images to be forgotten, how many does it name rightly?",
    "retain": "Of unseen images of everything else, how many does it name rightly?",
    "membership": "Of the images to be forgotten, for how many does an attacker, who sees how sure the network is, say "
    "that it was trained on them? Lower than retrained networks is as telling as higher.",
}

COMPARE = "Compare the orange numbers with those of retrained networks, not with 0 or 100."
FIRST_LIMITS = "What no sheet can show: that nothing is left inside, or that no other attack works (block 6)."
"""Said on the first page, before any number."""

LIMITS = (
    "That nothing is left. The checks above found what they found; a check that nobody made may find more.",
    "That an accuracy of 0 is forgetting. A network can know something and not say it.",
    "That no attack works. An attack that failed here says nothing of a stronger one.",
    "That the images were used, or were not. Other images can lead to the same weights; what can be looked into is the "
    "procedure, not the weights alone.",
    "That the network in use is this one. The fingerprints name files; compare them with what is deployed.",
    "That whoever made this sheet chose well what to run and what to hand on. Run it again.",
    "Anything about another network, other images, another request or a larger network. A class of things stands for "
    "no person.",
    "What the law asks. Whether personal data remain in a network, and which duties follow, is decided by people, case "
    "by case; this sheet is no legal advice.",
)

NOT_MEASURED = (
    "Attacks with shadow models (LiRA, U-LiRA)",
    "Whether those who stay in the training set are easier to find than before",
)

REQUEST_FIELDS: Mapping[str, str] = {
    "request_ref": "Reference of the request (no name)", "received_on": "Received on",
    "legal_ground": "Legal ground, as the controller states it"}
OUTSIDE_FIELDS: Mapping[str, str] = {
    "training_store": "Images in the training store", "backups": "Backups",
    "logs_caches_embeddings": "Logs, caches, stored features", "deployed_endpoints": "Deployed copies of the network",
    "derived_models": "Networks derived from it", "recipients_informed": "Recipients informed",
    "answer_to_person": "Answer to the person"}
DECISION_FIELDS: Mapping[str, str] = {
    "prepared_by": "Prepared by", "reviewed_by": "Reviewed by",
    "decision": "Decision (accept, retrain, withdraw, other)", "review_on": "Look again on"}
"""What people fill in, by its name in the data."""

NO_HASHES = "No key was given, so the images were not hashed."
HASHES = ("Keyed hashes (HMAC-SHA-256). Without the key, which stays with the operator, they tell nothing of an image; "
          "with it, the operator can show that an image was among them.")
NO_BOUND = "This method comes with no mathematical bound; what is known of its result is what was measured."
SECONDS = "Processor seconds of the method itself. Statistics of the training images that were at hand are not counted."

RETRAINED_KIND, APPROXIMATE_KIND = "retrained without the images", "approximate unlearning"
