"""One file a panel: a part of a page, from what is known to sentences, numbers and figures."""
