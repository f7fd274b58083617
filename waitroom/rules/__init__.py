"""Decisions without input or output: the same question has the same answer."""
