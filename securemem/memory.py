"""The store as a caller sees it: opened by a URL, it gives sessions, and forgets people."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self

from securemem import adapters, codec, config
from securemem import policy as policies
from securemem.errors import ConfigurationError
from securemem.host import SessionHost
from securemem.model import SessionInfo
from securemem.policy import Policy
from securemem.ports import Clock, Tokenizer
from securemem.preparing import Limits, until
from securemem.residue import PURGE_SECONDS, check_purge_seconds
from securemem.session import Session
from securemem.window import make_tokenizer

if TYPE_CHECKING:
    from securemem.auditing import AuditLog
    from securemem.backups import BackupReport
    from securemem.legalholds import LegalHolds
    from securemem.moving import Tenants
    from securemem.overview import Overview
    from securemem.proving.prove import Proof
    from securemem.restoring import RestoreReport
    from securemem.retaining import Retention
    from securemem.retention.sweep import SweepReport
    from securemem.rights.holdings import Holdings
    from securemem.rights.receipt import Receipt
    from securemem.rotating import Keys
    from securemem.subjectrequests import SubjectRequests


def _now() -> datetime:
    return datetime.now(UTC)


def _checked(clock: Any) -> Clock:
    moment = clock() if callable(clock) else None
    if not isinstance(moment, datetime) or moment.utcoffset() is None:
        raise ConfigurationError("clock has to give an aware datetime: datetime.now(UTC)")
    checked: Clock = clock
    return checked


class SecureMemory:
    """Sessions of one tenant in one store."""

    def __init__(self, host: SessionHost) -> None:
        """Made by `open`.

        Args:
            host: what its sessions share in this process; not for callers.
        """
        self.host = host

    @classmethod
    def open(
        cls,
        url: str | None = None,
        *,
        keystore: str | None = None,
        ledger: str | None = None,
        kms: str | None = None,
        policy: str | Path | Policy | None = None,
        tenant: str = "default",
        client: Any = None,
        prefix: str | None = None,
        table_name: str | None = None,
        replica: str | None = None,
        backup_days: float | None = None,
        memory_days: float | None = None,
        audit_sink: str | None = None,
        max_messages: int = 100,
        ttl: float | None = None,
        context_window: int = 20,
        compress: bool = False,
        clock: Clock | None = None,
        tokenizer: Tokenizer | str | None = None,
        create: bool = True,
    ) -> Self:
        """Name a store; it is opened by `async with`, or by its first use.

        Args:
            url: the data: `memory://`, `sqlite:///relative.db`, `sqlite:////absolute.db`, `postgresql://…`,
                `redis://…`, `rediss://…`, `redis+cluster://…` or `redis+sentinel://…`; else `SECUREMEM_URL`.
            keystore: wrapped keys, as `sqlite:///…`, `postgresql://…` or `memory://`; beside the data's file, or under
                `SECUREMEM_HOME` for data on a server, if not given.
            ledger: what was decided, likewise.
            kms: `file:///path.kek`, `passphrase:///path.kek` or `memory://`; a file beside the keystore's if not given.
            policy: the name of one that comes with the package ("default", "plain", "strict"), or the path of a file;
                "default" if not given, which redacts payment cards and secrets.
            tenant: the organisation whose sessions these are; tenants see nothing of each other.
            client: your own redis-py client, asyncio or synchronous, whose settings are taken; no URL is needed then.
            prefix: of the data's names on Redis; sessions under another prefix are apart.
            table_name: the data's table; sessions in another table are apart.
            replica: a standby of the data's PostgreSQL, `postgresql://…`, that reads are asked of first.
            backup_days: so many days after a deletion at the latest no backup, archive, standby or snapshot of the
                stores and the KEK has what was deleted: the operator's statement, which gives receipts a date.
            memory_days: so many days after it at the latest every Redis that holds the data was started anew: likewise.
            audit_sink: where checkpoints of the audit are put down: `file:///path`, `https://host/path` or
                `s3://bucket/prefix`; nowhere if not given.
            max_messages: how many a session keeps; the oldest are trimmed in the same step as an append.
            ttl: seconds after which a message is never returned again.
            context_window: how many messages `context` gives by default.
            compress: compress texts before they are sealed; their length then says more of what they are.
            clock: gives an aware UTC datetime; every deadline is reckoned by it.
            create: whether a store or a tenant that is not there yet is made; if not, opening it is a
                ConfigurationError.
            tokenizer: counts tokens for `max_tokens`; "tiktoken" (or "tiktoken:<encoding>") where that is installed.

        Raises:
            ConfigurationError: settings that do not fit, or of a wrong type.
            InvalidInputError: a number that is none, or out of range.
        """
        if url is not None and not isinstance(url, str):
            raise ConfigurationError("a store is named by a URL, such as sqlite:///conversations.db")
        if client is not None:
            url = adapters.url_of(client, url)
        codec.check_id(tenant, "tenant")
        if ttl is not None:
            until(_now(), ttl)
        settings = config.resolve(
            url,
            keystore=keystore,
            ledger=ledger,
            kms=kms,
            table_name=table_name,
            prefix=prefix,
            replica=replica,
            backup_days=backup_days,
            memory_days=memory_days,
            audit_sink=audit_sink,
        )
        host = SessionHost(
            settings,
            tenant=tenant,
            policy=policies.resolve(policy),
            clock=_checked(clock) if clock is not None else _now,
            limits=Limits(
                max_messages=codec.check_count(max_messages, "max_messages", least=1), ttl=ttl, compress=compress
            ),
            context_window=codec.check_count(context_window, "context_window", least=1),
            tokenizer=make_tokenizer(tokenizer),
            client=client,
            create=create,
        )
        return cls(host)

    # What operators ask for is loaded when they do: a chat does without.

    @cached_property
    def keys(self) -> Keys:
        """The epochs of the KEK, and rotating keys."""
        from securemem.rotating import Keys  # noqa: PLC0415

        return Keys(self.host)

    @cached_property
    def audit(self) -> AuditLog:
        """What was decided, and proofs of it."""
        from securemem.auditing import AuditLog  # noqa: PLC0415

        return AuditLog(self.host)

    @cached_property
    def requests(self) -> SubjectRequests:
        """What people asked for, and how far that is."""
        from securemem.subjectrequests import SubjectRequests  # noqa: PLC0415

        return SubjectRequests(self.host)

    @cached_property
    def retention(self) -> Retention:
        """What the policy does with time."""
        from securemem.retaining import Retention  # noqa: PLC0415

        return Retention(self.host)

    @cached_property
    def holds(self) -> LegalHolds:
        """Legal holds on people and sessions."""
        from securemem.legalholds import LegalHolds  # noqa: PLC0415

        return LegalHolds(self.host)

    @cached_property
    def tenants(self) -> Tenants:
        """On which servers tenants lie, and moving them to others."""
        from securemem.moving import Tenants  # noqa: PLC0415

        return Tenants(self.host)

    async def __aenter__(self) -> Self:
        async with self.host.in_use():
            return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Record how far sessions have come, wipe the keys in memory, close the stores. A second call does nothing.

        One that its caller gave up waiting for can be repeated, and is waited for then.
        """
        await self.host.close()

    def session(
        self,
        session_id: str,
        *,
        user_id: str | None = None,
        tags: Iterable[str] = (),
        purpose: str | None = None,
        actor: str | None = None,
    ) -> Session:
        """Give a handle of a session; nothing is read or written yet.

        Args:
            session_id: up to 1,024 bytes of UTF-8, taken as it is.
            user_id: whose session it is. The same session id under another user is another session; with none, the
                session is its own subject.
            tags: what the session is marked with when it is made, sealed with its id.
            purpose: what it is used for, and
            actor: who asks: for the rules and roles of a policy; `plain` has none.

        Raises:
            InvalidInputError: an id that is empty, too long, or no text.
        """
        codec.check_id(session_id, "session_id")
        if user_id is not None:
            codec.check_id(user_id, "user_id")
        marks = codec.check_tags(tags) if tags else ()
        if purpose is not None:
            codec.check_id(purpose, "purpose")
        if actor is not None:
            codec.check_id(actor, "actor")
        owner = user_id if user_id is not None else session_id
        return Session(self.host, session_id, user_id=owner, tags=marks, purpose=purpose, actor=actor)

    async def sessions(self, *, user_id: str | None = None) -> AsyncIterator[SessionInfo]:
        """Go through the sessions of a user, or of everybody in the tenant, in the order they were made."""
        if user_id is not None:
            codec.check_id(user_id, "user_id")
        async with contextlib.aclosing(self.host.steps(self._sessions(user_id))) as found:
            async for info in found:
                yield info

    async def _sessions(self, user_id: str | None) -> AsyncGenerator[SessionInfo, None]:
        from securemem.listing import info_of  # noqa: PLC0415  (a chat does without)

        deployment = await self.host.ready()
        async for keys in deployment.keyring.sessions(user_id):
            info = await info_of(keys, self.host.conversation, self.host.reader)
            if info is not None:
                yield info

    async def erase_user(self, user_id: str, *, purge_seconds: float = PURGE_SECONDS) -> Receipt:
        """Forget a person: destroy their keys, delete their rows, and remove what the deletions left on disk.

        What a law demands to keep, by a rule of the policy with a `keep_basis`, is sealed anew and read by nobody.

        Args:
            user_id: the person.
            purge_seconds: how long to work on what is left on disk, and to wait for whoever keeps it in use; what is
                left after that is in the receipt.

        Returns:
            A signed receipt; of somebody who is not known it says that nothing is held.

        Raises:
            InvalidInputError: an id or a number that is none; nobody was forgotten.
            LegalHoldError: a legal hold is on something of theirs, whose last release finishes this, as the error's
                `request`. What no hold is on was erased.
        """
        codec.check_id(user_id, "user_id")
        seconds = check_purge_seconds(purge_seconds)
        async with self.host.in_use() as deployment:
            conversations = await self.host.conversations()

            def begun() -> None:
                conversations.end(user_id)
                deployment.keyring.held.forget_person(user_id)

            erasure = deployment.office.erasure
            receipt = await self.host.under_way.through(erasure.erase(user_id, purge_seconds=seconds, begun=begun))
            erasure.was_given(user_id, receipt)
            return receipt

    async def export_user(self, user_id: str, *, actor: str | None = None) -> AsyncIterator[dict[str, Any]]:
        """Go through all that is held of a person, as JSON objects (GDPR Art. 15 and 20).

        Args:
            user_id: the person.
            actor: who exports it, for the audit; needs the right `export` where the policy has roles.

        Yields:
            Objects as `rights.export` says: one that says what this is, each session with its messages, oldest first,
            what the person said in other people's sessions, and what pseudonyms stand for.

        Raises:
            AccessDeniedError: the policy gives the actor no right to export.
            IntegrityError: something is not as it was written.
        """
        codec.check_id(user_id, "user_id")
        self.host.check_right(actor, "export")
        async with contextlib.aclosing(self.host.steps(self._export(user_id, actor))) as found:
            async for item in found:
                yield item

    async def _export(self, user_id: str, actor: str | None) -> AsyncGenerator[dict[str, Any], None]:
        from securemem.keptvalues import KeptValues  # noqa: PLC0415  (importing a store does without)
        from securemem.rights.export import Sources  # noqa: PLC0415

        deployment = await self.host.ready()
        kept = KeptValues(deployment.backend, deployment.keyring)
        sources = Sources(self.host.conversation, self.host.reader, (await self.host.treating()).out, kept)
        async for item in deployment.office.export.of(user_id, sources, actor=actor):
            yield item

    async def show_user(self, user_id: str, *, actor: str | None = None) -> Holdings:
        """Say what is held of a person, in numbers: sessions, messages, holds, keys; no content.

        Args:
            user_id: the person.
            actor: who asks; needs the right `export` where the policy has roles.

        Raises:
            AccessDeniedError: the policy gives the actor no right to it.
            IntegrityError: something is not as it was written.
        """
        codec.check_id(user_id, "user_id")
        self.host.check_right(actor, "export")
        async with self.host.in_use() as deployment:
            return await deployment.office.selector.summary(user_id)

    async def restrict_user(self, user_id: str, *, actor: str | None = None) -> None:
        """Restrict the processing of a person's data (GDPR Art. 18): it is kept, and nobody reads it.

        Every read of theirs is a `UserRestrictedError` from now on; what is added is stored. It lengthens no life, and
        they can be erased and their data be exported.

        Args:
            user_id: the person.
            actor: who restricts, for the audit; needs the right `hold` where the policy has roles.

        Raises:
            InvalidInputError: nothing is held of this person.
            AccessDeniedError: the policy gives the actor no right to it.
        """
        codec.check_id(user_id, "user_id")
        self.host.check_right(actor, "hold")
        async with self.host.in_use() as deployment:
            await self.host.under_way.through(deployment.office.restricting.restrict(user_id, actor=actor))

    async def lift_restriction(self, user_id: str, *, actor: str | None = None) -> None:
        """Lift a restriction; what a legal hold is on stays out of sight.

        Raises:
            InvalidInputError: nothing is held of this person.
            AccessDeniedError: as `restrict_user`.
        """
        codec.check_id(user_id, "user_id")
        self.host.check_right(actor, "hold")
        async with self.host.in_use() as deployment:
            await self.host.under_way.through(deployment.office.restricting.lift(user_id, actor=actor))

    async def status(self) -> Overview:
        """Say what there is and what waits, in numbers."""
        from securemem.overview import overview  # noqa: PLC0415  (a chat does without)

        async with self.host.in_use() as deployment:
            return await overview(deployment)

    async def caveats(self) -> list[str]:
        """Say what works and could hurt one day: the data's server, keys on this machine alone, recipients not told."""
        from securemem.overview import caveats  # noqa: PLC0415  (a chat does without)

        async with self.host.in_use() as deployment:
            return await caveats(deployment)

    async def sweep(self, *, purge_seconds: float = PURGE_SECONDS) -> SweepReport:
        """Take out what is past its time. Reading never waits for this: it returns nothing that is past its time.

        Args:
            purge_seconds: how long to work on what is left on disk, and to wait for whoever keeps it in use.
        """
        seconds = check_purge_seconds(purge_seconds)
        async with self.host.in_use() as deployment:
            return await deployment.office.keeper.go_through(purge_seconds=seconds)

    async def prove_erasure(
        self,
        *,
        also: Iterable[Path] = (),
        memory: bool = True,
        purge_seconds: float = PURGE_SECONDS,
        say: Callable[[str], None] = lambda _: None,
    ) -> Proof:
        """Plant people who are not real, use and erase them, and search every place for what is left of them.

        Args:
            also: files and folders that the settings do not name: backups, logs, archives.
            memory: whether the memory of servers on this machine is searched, where that may be read.
            purge_seconds: as `erase_user`.
            say: is told what is being done.

        Returns:
            What was looked at, what was found there, and whether the control was.

        Raises:
            ConfigurationError: the policy lets nothing in that could be erased; nothing was planted.
        """
        seconds = check_purge_seconds(purge_seconds)
        from securemem.proving.prove import Proving  # noqa: PLC0415  (a chat does without)

        async with self.host.in_use() as deployment:
            proving = Proving(self, deployment, max_messages=self.host.limits.max_messages, purge_seconds=seconds)
            return await proving.run(also=also, memory=memory, say=say)

    async def backup(
        self, path: str | Path, *, store: str = "data", progress: Callable[[int, int], None] | None = None
    ) -> BackupReport:
        """Write a sealed backup of one of the three stores, while they are used.

        Args:
            path: a new file. Keep backups of the keystore apart from those of the data.
            store: "data", "keystore" or "ledger"; of all tenants.
            progress: is told how much of how much was done: sessions of data, bytes of the others.

        Raises:
            InvalidInputError: there is no such store, or the path is none.
            ConfigurationError: the file exists, its folder does not, or the store is in memory.
            BackendUnavailableError: the disk is full; there is no file of this name.
        """
        from securemem.backups import Backups  # noqa: PLC0415  (importing a store does without)

        file = codec.check_path(path, "a backup")
        async with self.host.in_use() as deployment:
            return await Backups(deployment, progress).take(file, store)

    @classmethod
    async def restore(
        cls,
        path: str | Path | Sequence[str | Path],
        url: str | None = None,
        *,
        progress: Callable[[int, int], None] | None = None,
        accept_older_ledger: bool = False,
        **settings: Any,
    ) -> RestoreReport:
        """Put backups in place where nothing is, and apply all that was decided since.

        No other process may use the stores meanwhile. Whoever opens one whose data is not whole yet gets a
        NotReadyError; a restore that was interrupted is gone on with by another of the same file.

        Args:
            path: a backup, or several of different stores.
            url: as `open`.
            progress: is told how many bytes of how many were done.
            accept_older_ledger: whether to go on with a ledger that knows less than data and keystore, because no newer
                backup of it is left; with no path at all, with an empty one. What holds and restrictions heads bear is
                written into it anew, with the code `LEDGER-LOST`.
            settings: as `open` (`keystore`, `ledger`, `kms`, `prefix`, `table_name`, `client`, `clock` …).

        Raises:
            InvalidInputError: a path that is none.
            ConfigurationError: a file that is no backup, or of another deployment; something is there already.
            IntegrityError: a backup that was cut short or altered, or whose key is gone; nothing was put.
            NotReadyError: another store is missing, or older than what it decided about.
        """
        from securemem.restoring import Restoring  # noqa: PLC0415  (importing a store does without)

        named = cls.open(url, **settings).host
        every = [path] if isinstance(path, str | bytes) or not isinstance(path, Iterable) else path
        paths = [codec.check_path(each, "a backup") for each in every]
        restoring = Restoring(
            named.settings,
            named.clock,
            client=named.client,
            progress=progress,
            accept_older_ledger=accept_older_ledger,
        )
        return await restoring.run(paths)

    def __reduce__(self) -> NoReturn:
        raise ConfigurationError("a store cannot be pickled: open it in the process that uses it")
