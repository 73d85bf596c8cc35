"""The canvas views and what they draw."""
