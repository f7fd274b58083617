"""The till: it sells limited stock, and never one unit too many.

    door/ (shoppers)      jobs (the clock)
        └───────┬────────────┘
      checkout   waitlist               reserve, commit, cancel; who is next
       catalogue, documents, identities, outbox
        stock/      payments/           Redis admits; the gateway takes the money
        └───────┬───────┘
             ledger/                    SQL: the truth about holds, orders and money
     config, counters, refusals, sales, sharing  (the last two: the rules)

An arrow down is an allowed import; of waitroom it shares `waitroom.kernel` and nothing else.
"""
