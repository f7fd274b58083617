"""The till: it sells limited stock, and never one unit too many."""
