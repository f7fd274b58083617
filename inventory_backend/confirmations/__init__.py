"""Confirmations: what happened to an order goes out, by signed webhook and by mail, at least once."""
