"""Comparisons with peers in one run; ratios and CPU per request, because these hold on a busy machine."""
