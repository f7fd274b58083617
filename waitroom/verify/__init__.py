"""For the store behind: let in only whom the waiting room let in, by the signed header `Waitroom-Pass`.

`wsgi`, `asgi`, `aiohttp` and `django` hold the middleware of each framework, `passes` the check alone for any other.
A secret and a clock are all they need: no Redis, no settings file, and no library but itsdangerous.
"""
