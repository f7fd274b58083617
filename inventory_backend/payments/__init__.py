"""Money: the gateway, the saga that carries a payment through it, and a gateway that moves none."""
