"""Ask the system for as many open files as the connections need that are to be kept."""

import resource


def open_files(wanted: int) -> int:
    """Ask the system for `wanted` open files, and return how many it grants."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    granted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (granted, hard))
    return granted
