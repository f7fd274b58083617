"""Make the sinks that the operator wrote down; what is wrong with any of them is told at once."""

from collections.abc import Coroutine
from contextlib import AsyncExitStack

from inventory_backend.config import Config
from inventory_backend.confirmations import webhooks
from inventory_backend.confirmations.letters import Letters
from inventory_backend.confirmations.mail import MailSink, Server
from inventory_backend.confirmations.sinks import Sink
from inventory_backend.ledger.ledger import Ledger
from inventory_backend.ledger.news import News
from inventory_backend.receivers import Kafka, Webhook
from waitroom.kernel.clock import Clock
from waitroom.kernel.errors import ConfigFault
from waitroom.kernel.pages import Pages


async def sinks(config: Config, stack: AsyncExitStack, ledger: Ledger, clock: Clock) -> list[Sink]:
    """Return every way out; `stack` closes them.

    Raises:
        ConfigFault: a secret, a certificate or a library is missing; it names every fault.
    """
    wanted: list[Coroutine[None, None, Sink]] = [_webhook(one, stack, clock) for one in config.webhooks]
    if config.mail.host:
        wanted.append(_mail(config, ledger))
    if config.kafka.servers:
        wanted.append(_kafka(config.kafka, stack))
    found, faults = list[Sink](), list[str]()
    for making in wanted:
        try:
            found.append(await making)
        except ConfigFault as fault:
            faults += fault.faults
    if faults:
        raise ConfigFault(faults)
    return found


async def _webhook(chosen: Webhook, stack: AsyncExitStack, clock: Clock) -> Sink:
    kinds = frozenset(map(News, chosen.events))
    receiver = webhooks.Receiver(
        chosen.name, chosen.url, chosen.secrets(), kinds, chosen.timeout_ms, chosen.allow_private
    )
    return await stack.enter_async_context(webhooks.opened(receiver, clock))


async def _mail(config: Config, ledger: Ledger) -> Sink:
    chosen = config.mail
    server = Server(
        host=chosen.host,
        port=chosen.port,
        security=chosen.security,
        sender=chosen.sender,
        username=chosen.username,
        password=chosen.password(),
        ca_file=chosen.ca_file,
        timeout_ms=chosen.timeout_ms,
    )
    sales = {one.name: one.as_rules() for one in config.sales}
    try:
        return MailSink(server, Letters(sales, chosen.sender, chosen.sender_name, Pages()), ledger)
    except OSError as fault:
        raise _unreadable("mail.ca_file", fault) from fault


async def _kafka(chosen: Kafka, stack: AsyncExitStack) -> Sink:
    try:
        from inventory_backend.confirmations.kafka import Topic, opened
    except ImportError as fault:
        raise ConfigFault(["kafka.servers: Kafka needs its library: pip install 'waitroom[kafka]'"]) from fault
    topic = Topic(
        servers=chosen.servers,
        name=chosen.topic,
        kinds=frozenset(map(News, chosen.events)),
        is_encrypted=chosen.security == "tls",
        ca_file=chosen.ca_file,
        mechanism=chosen.mechanism,
        username=chosen.username,
        password=chosen.password(),
        timeout_ms=chosen.timeout_ms,
    )
    try:
        return await stack.enter_async_context(opened(topic))
    except OSError as fault:
        raise _unreadable("kafka.ca_file", fault) from fault


def _unreadable(setting: str, fault: OSError) -> ConfigFault:
    return ConfigFault([f"{setting}: cannot be read: {fault.strerror or type(fault).__name__}"])
