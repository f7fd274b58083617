"""Bytes on the wire: listen, accept, keep connections within bounds, and answer at once what was made ahead of time."""
