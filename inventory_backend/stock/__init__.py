"""Redis as the accelerator before the ledger: it admits, it is put back, it never decides what is sold."""
