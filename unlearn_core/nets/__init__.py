"""Image sets, networks, their training and evaluation, and what is to be forgotten."""
