"""Panels of work that outlives a visit."""
