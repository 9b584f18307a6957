"""Reads a stream in order and without a gap, through outages: what was missed is asked for again by its number."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from datetime import UTC, datetime

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext, api
from nats.js.errors import NotFoundError

from spoton_edge.site.streams import Errors

log = logging.getLogger(__name__)

HEARTBEAT_S = 1.0
SILENT_S = 4.0  # without a heartbeat: the consumer is gone
AGAIN_S = 0.5

Take = Callable[[str, bytes], None]  # subject, payload


class Follower:
    """Hands every message of `stream` on, from `start_s` (Unix s; None: the last of each subject), until cancelled.

    Attributes:
        caught_up: set once everything that was there at the start has been handed on.
    """

    def __init__(
        self,
        client: Client,
        js: JetStreamContext,
        stream: str,
        take: Take,
        *,
        start_s: float | None,
        subject: str = ">",
    ) -> None:
        self.caught_up = asyncio.Event()
        self._client, self._js = client, js
        self._stream, self._subject, self._take = stream, subject, take
        self._start_s = start_s
        self._last = 0  # number of the last message in the stream that was handed on
        self._expected = 1  # number of the next one that the consumer delivers
        self._heard = asyncio.Event()
        self._torn = False

    async def run(self) -> None:
        """Until cancelled.

        Raises:
            NotFoundError: there is no such stream; of what it kept, something is gone.
        """
        while True:
            inbox, subscription = self._client.new_inbox(), None
            try:
                self._expected, self._torn = 1, False
                subscription = await self._client.subscribe(
                    inbox, cb=self._hear, pending_msgs_limit=-1, pending_bytes_limit=-1
                )
                info = await self._js.add_consumer(self._stream, config=self._wanted(inbox))
                if not info.num_pending and info.delivered is not None and not info.delivered.consumer_seq:
                    self.caught_up.set()
                await self._listen()
            except NotFoundError:
                raise
            except Errors as error:
                log.debug("%s cannot be read: %s", self._stream, error)
            finally:
                if subscription is not None and not self._client.is_closed:
                    with contextlib.suppress(*Errors):
                        await subscription.unsubscribe()
            await asyncio.sleep(AGAIN_S)

    def _wanted(self, inbox: str) -> api.ConsumerConfig:
        config = api.ConsumerConfig(
            name=self._client.new_inbox().rpartition(".")[2],
            deliver_subject=inbox,
            filter_subject=self._subject,
            ack_policy=api.AckPolicy.NONE,
            max_deliver=1,
            idle_heartbeat=HEARTBEAT_S,
            inactive_threshold=30.0,
            mem_storage=True,
            num_replicas=1,
        )
        if self._last:
            return config.evolve(deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=self._last + 1)
        if self._start_s is None:
            return config.evolve(deliver_policy=api.DeliverPolicy.LAST_PER_SUBJECT)
        start = datetime.fromtimestamp(self._start_s, UTC)
        return config.evolve(deliver_policy=api.DeliverPolicy.BY_START_TIME, opt_start_time=start)

    async def _listen(self) -> None:
        while not self._torn:
            self._heard.clear()
            try:
                async with asyncio.timeout(SILENT_S):
                    await self._heard.wait()
            except TimeoutError:
                return

    async def _hear(self, message: Msg) -> None:
        self._heard.set()
        if not message.reply:
            return  # a heartbeat
        if not message.reply.startswith("$JS.ACK"):
            await message.respond(b"")  # flow control
            return
        where = message.metadata
        if self._torn or where.sequence.consumer != self._expected:
            self._torn = True  # one was lost on the way: from there again
            return
        self._expected += 1
        self._last = where.sequence.stream
        self._take(message.subject, message.data)
        if where.num_pending == 0:
            self.caught_up.set()
