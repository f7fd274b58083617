"""The door for shoppers and their clients: JSON, pages, and the pass that opens it."""
