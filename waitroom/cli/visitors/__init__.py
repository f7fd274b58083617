"""Synthetic visitors: they come over HTTP like everybody else, wait, shop and go."""
