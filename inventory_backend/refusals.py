"""Every no that the till can say: its status, its kind, and the sentence a shopper reads."""

from waitroom.kernel.errors import Refused

_SAID: dict[str, tuple[int, str]] = {
    "no-pass": (403, "Come in through the waiting room: this sale is open to those who were let in."),
    "identity-missing": (403, "This sale is for shoppers whom the shop knows: sign in there."),
    "identity-refused": (403, "The shop's word on who you are is not good, or has run out: load its page again."),
    "unknown-sale": (404, "There is no such sale."),
    "unknown-sku": (404, "This sale has no such item."),
    "sale-not-active": (409, "The sale is not open at the moment."),
    "sold-out": (409, "Everything is sold or held at the moment. What others give back goes to the waitlist first."),
    "limit-reached": (409, "You have as many as one shopper may buy."),
    "not-sold-out": (409, "There is no need to wait: so many are free at the moment. Choose them now."),
    "waitlist-full": (409, "So many wait already that nobody more can be put on the waitlist. Look again in a while."),
    "other-wish": (409, "You wait for something else already. Leave the waitlist first, then choose anew."),
    "no-waitlist": (409, "This sale has no waitlist."),
    "not-found": (404, "There is no such thing of yours."),
    "no-ops-token": (
        403,
        "Nobody may do this here: put a token into WAITROOM_TILL_OPS_TOKEN and start the till again.",
    ),
    "not-ops": (401, "Send the token of ops as a bearer token: Authorization: Bearer …"),
    "unknown-order": (404, "There is no such order."),
    "order-not-paid": (409, "This order is not paid: there is nothing to send back."),
    "hold-expired": (410, "The time to pay is over, and the items are free for others again."),
    "payment-in-progress": (409, "A payment for these items is under way. Look at the order to see how it went."),
    "already-paid": (409, "These items are paid for already."),
    "too-many-attempts": (409, "This was tried too often. Let go of these items and choose them again."),
    "unknown-provider": (422, "There is no such way to pay."),
    "unknown-provider-webhook": (404, "Nobody is heard here."),
    "forged-webhook": (400, "The signature is not that of the payment gateway, or not of now."),
    "malformed-webhook": (400, "This is no event."),
    "idempotency-key-reused": (422, "This Idempotency-Key was used before. Use a new key for a new request."),
}


def refused(kind: str, **facts: object) -> Refused:
    """Return the refusal `kind`, with `facts` as members of the problem document."""
    status, said = _SAID[kind]
    return Refused(status, str(kind), said, extra=facts)
