"""The Python face of lua/: Redis, and nothing but Redis."""
