"""A waiting room that a shop puts in front of itself.

                bytes on the wire                                  listen; what is prepared is answered here
                       │
                     wire/
           ┌───────────┴──┬─────────────┬─────────────┐
        visitor       admitted      operator      the clock
           │              │             │             │
         gate/         proxy/       console/        jobs/        four doors: thin; HTTP or time comes in
           └──────────────┴──────┬──────┴─────────────┘
                              config                             what an operator may set
                                 │
                              store/                             the Python face of lua/: Redis, and nothing but Redis
                                 │
                              rules/                             pure decisions: same question, same answer
                                 │
                              kernel/                            shared with inventory_backend; knows no room, no stock

An arrow down is an allowed import; there is no arrow up and none sideways. `edge.py` and `app.py` alone know everybody:
they build each part once. `supervisor.py` keeps the processes alive, `cli/` is what a person types.
`verify/` is no part of the running edge: a store imports it, and with it rules and kernel only.
The import contracts in `pyproject.toml` keep it so.
"""

__version__ = "0.1.0"
