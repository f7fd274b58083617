"""The steps from one schema of the ledger to the next, one module a step, in one line (m0001, m0002, …).

A step that was released is never changed: the next one mends it. A step comes with the change of `schema.py` that
it makes, and a test holds both together. Steps add first and take away a release later, so that an older till may still
be selling while a newer one starts.
"""
