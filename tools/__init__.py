"""Measurements of the whole: benchmark, growth, load; and the README's pictures."""
