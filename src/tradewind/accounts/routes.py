"""HTTP of accounts, exchange keys and mandates. Every id is looked up as the caller's own, else 404 (P6)."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter
from starlette.responses import Response

from tradewind.accounts.account import AccountRow
from tradewind.accounts.linking import Linker, LinkRequest
from tradewind.accounts.mandates import Mandates
from tradewind.accounts.refusals import UNVERIFIED_SENTENCE, UNVERIFIED_SENTENCE_KO
from tradewind.accounts.service import LIVE_SENTENCE, LIVE_SENTENCE_KO, Accounts
from tradewind.accounts.shapes import checked_pair
from tradewind.accounts.shown import (
    AccountBody,
    AccountOut,
    AccountsOut,
    CredentialOut,
    CredentialsOut,
    KeyBody,
    LinkBody,
    LinkedOut,
    MandateBody,
    MandateOut,
    MandatesOut,
    RequirementsOut,
    SentenceBody,
    TermsBody,
    account_out,
    credential_out,
    mandate_out,
)
from tradewind.core.ids import AccountId, MandateId, SourceId
from tradewind.core.instrument import VenueName
from tradewind.infra.clock import Clock
from tradewind.infra.db import Db, Tx
from tradewind.signer.service import InProcessSigner
from tradewind.web.idempotency import Answer, MaybeOnceKey, once_in_tx, run_once
from tradewind.web.principal import Reader, Trader
from tradewind.web.ratelimit import KEY_ADD_RATE, Limiter


@dataclass(frozen=True, slots=True)
class AccountsDeps:
    """What the routes need. `addresses`: this server's own, to be put on a venue's IP list."""

    db: Db
    clock: Clock
    accounts: Accounts
    mandates: Mandates
    linker: Linker
    signer: InProcessSigner
    limiter: Limiter
    addresses: tuple[str, ...] = ()


def build_router(deps: AccountsDeps) -> APIRouter:
    """Build the routes of this room."""
    router = APIRouter(tags=["accounts"])
    _add_account_routes(router, deps)
    _add_live_routes(router, deps)
    _add_credential_routes(router, deps)
    _add_key_routes(router, deps)
    _add_mandate_routes(router, deps)
    return router


def _add_account_routes(router: APIRouter, deps: AccountsDeps) -> None:
    @router.get("/accounts")
    async def accounts(caller: Reader) -> AccountsOut:
        """List the caller's accounts."""
        rows = await deps.db.read(lambda tx: deps.accounts.list_of(tx, caller.user_id))
        return AccountsOut(items=[account_out(row) for row in rows])

    @router.get("/accounts/{account_id}")
    async def account(account_id: str, caller: Reader) -> AccountOut:
        """Show one account."""
        row = await deps.db.read(lambda tx: deps.accounts.load(tx, caller.user_id, AccountId(account_id)))
        return account_out(row)

    @router.patch("/accounts/{account_id}")
    async def change(account_id: str, body: AccountBody, caller: Trader) -> AccountOut:
        """Rename an account, set its caps, its quote asset or its dry run."""
        changes = body.changes()
        row = await deps.db.write(
            lambda tx: deps.accounts.change(tx, caller.user_id, AccountId(account_id), changes, actor=caller.actor)
        )
        return account_out(row)

    @router.delete("/accounts/{account_id}", status_code=204)
    async def delete(account_id: str, caller: Trader) -> None:
        """Delete an account with its key and mandates; its history stays."""
        await deps.db.write(
            lambda tx: deps.accounts.delete(tx, caller.user_id, AccountId(account_id), actor=caller.actor)
        )
        deps.signer.forget(AccountId(account_id))

    @router.post("/accounts/{account_id}/pause")
    async def pause(account_id: str, caller: Trader) -> AccountOut:
        """Stop entries on an account; exits and protection go on."""
        row = await deps.db.write(
            lambda tx: deps.accounts.pause(tx, caller.user_id, AccountId(account_id), actor=caller.actor)
        )
        return account_out(row)

    @router.post("/accounts/{account_id}/resume")
    async def resume(account_id: str, caller: Trader) -> AccountOut:
        """Let entries be made again."""
        row = await deps.db.write(
            lambda tx: deps.accounts.resume(tx, caller.user_id, AccountId(account_id), actor=caller.actor)
        )
        return account_out(row)


def _add_live_routes(router: APIRouter, deps: AccountsDeps) -> None:
    @router.post("/accounts/{account_id}/live-confirmation")
    async def confirm_live(account_id: str, body: SentenceBody, caller: Trader) -> AccountOut:
        """Let an account trade real money, by the typed sentence."""
        row = await deps.db.write(
            lambda tx: deps.accounts.confirm_live(
                tx, caller.user_id, AccountId(account_id), body.typed, actor=caller.actor
            )
        )
        return account_out(row)

    @router.delete("/accounts/{account_id}/live-confirmation")
    async def withdraw_live(account_id: str, caller: Trader) -> AccountOut:
        """Take the confirmation back: no more entries with real money."""
        row = await deps.db.write(
            lambda tx: deps.accounts.withdraw_live(tx, caller.user_id, AccountId(account_id), actor=caller.actor)
        )
        return account_out(row)


def _add_credential_routes(router: APIRouter, deps: AccountsDeps) -> None:
    @router.get("/credentials")
    async def credentials(caller: Reader) -> CredentialsOut:
        """List the caller's exchange keys, masked."""

        def read(tx: Tx) -> list[CredentialOut]:
            ages = deps.accounts.credential_ages(tx, caller.user_id)
            rows = deps.accounts.list_of(tx, caller.user_id)
            return [credential_out(row, ages.get(row.id)) for row in rows if row.has_credential]

        return CredentialsOut(items=await deps.db.read(read))

    @router.get("/credentials/requirements")
    async def requirements(_caller: Reader) -> RequirementsOut:
        """Say what to do at the venue before adding a key."""
        return RequirementsOut(
            addresses=list(deps.addresses),
            unverified_sentence={"en": UNVERIFIED_SENTENCE, "ko": UNVERIFIED_SENTENCE_KO},
            live_sentence={"en": LIVE_SENTENCE, "ko": LIVE_SENTENCE_KO},
        )

    @router.post("/credentials", status_code=201, response_model=LinkedOut)
    async def link(body: LinkBody, caller: Trader, key: MaybeOnceKey) -> Response:
        """Add an exchange key: tested at the venue first, then sealed. Nothing is stored on failure."""
        request = LinkRequest(
            user_id=caller.user_id,
            venue=VenueName(body.venue),
            environment=body.environment,
            label=body.label,
            api_key=body.api_key.get_secret_value(),
            api_secret=body.api_secret.get_secret_value(),
            confirmation=body.confirmation,
            language=caller.language,
        )

        async def act() -> Answer:
            _count_key(deps, request)
            linked = await deps.linker.link(request, actor=caller.actor)
            out = LinkedOut(account=account_out(linked.account), warnings=list(linked.warnings))
            return Answer(201, out.model_dump_json().encode("utf-8"))

        return (await run_once(deps.db, deps.clock, caller.user_id, key, act)).response()


def _count_key(deps: AccountsDeps, request: LinkRequest) -> None:
    """Count a key against the hourly limit; what cannot be a key is refused uncounted, a repeat never gets here."""
    checked_pair(request.venue, request.api_key, request.api_secret)
    deps.limiter.demand(KEY_ADD_RATE, request.user_id)


def _add_key_routes(router: APIRouter, deps: AccountsDeps) -> None:
    async def account_of(credential_id: str, caller: Reader) -> AccountRow:
        return await deps.db.read(lambda tx: deps.accounts.load_by_credential(tx, caller.user_id, credential_id))

    @router.post("/credentials/{credential_id}/test")
    async def test(credential_id: str, caller: Trader) -> AccountOut:
        """Test a stored key again and record what the venue says of its rights."""
        row = await account_of(credential_id, caller)
        return account_out(await deps.linker.test_stored(row, actor=caller.actor, language=caller.language))

    @router.put("/credentials/{credential_id}")
    async def replace(credential_id: str, body: KeyBody, caller: Trader) -> LinkedOut:
        """Put another key of the same venue account in place of this one, tested first."""
        row = await account_of(credential_id, caller)
        request = LinkRequest(
            user_id=caller.user_id,
            venue=row.venue,
            environment=row.environment,
            label=row.label,
            api_key=body.api_key.get_secret_value(),
            api_secret=body.api_secret.get_secret_value(),
            confirmation=body.confirmation,
            language=caller.language,
        )
        _count_key(deps, request)
        linked = await deps.linker.replace_key(request, row.id, actor=caller.actor)
        return LinkedOut(account=account_out(linked.account), warnings=list(linked.warnings))

    @router.delete("/credentials/{credential_id}", status_code=204)
    async def delete(credential_id: str, caller: Trader) -> None:
        """Delete a key; refused while its account holds something that needs it."""

        def remove(tx: Tx) -> AccountRow:
            row = deps.accounts.load_by_credential(tx, caller.user_id, credential_id)
            return deps.accounts.remove_key(tx, caller.user_id, row.id, actor=caller.actor)

        deps.signer.forget((await deps.db.write(remove)).id)


def _add_mandate_routes(router: APIRouter, deps: AccountsDeps) -> None:
    @router.get("/mandates")
    async def mandates(caller: Reader) -> MandatesOut:
        """List the caller's mandates."""
        rows = await deps.db.read(lambda tx: deps.mandates.list_of(tx, caller.user_id))
        return MandatesOut(items=[mandate_out(row) for row in rows])

    @router.get("/mandates/{mandate_id}")
    async def mandate(mandate_id: str, caller: Reader) -> MandateOut:
        """Show one mandate."""
        row = await deps.db.read(lambda tx: deps.mandates.load(tx, caller.user_id, MandateId(mandate_id)))
        return mandate_out(row)

    @router.post("/mandates", status_code=201, response_model=MandateOut)
    async def give(body: MandateBody, caller: Trader, key: MaybeOnceKey) -> Response:
        """Give a source a mandate on one of the caller's accounts."""
        terms = body.terms()

        def create(tx: Tx) -> Answer:
            row = deps.mandates.create(
                tx,
                caller.user_id,
                AccountId(body.account_id),
                SourceId(body.source_id),
                actor=caller.actor,
                terms=terms,
            )
            return Answer(201, mandate_out(row).model_dump_json().encode("utf-8"))

        answer = await deps.db.write(lambda tx: once_in_tx(tx, caller.user_id, key, deps.clock.now(), create))
        return answer.response()

    @router.patch("/mandates/{mandate_id}")
    async def change(mandate_id: str, body: TermsBody, caller: Trader) -> MandateOut:
        """Change terms of a mandate."""
        terms = body.terms()
        row = await deps.db.write(
            lambda tx: deps.mandates.change(tx, caller.user_id, MandateId(mandate_id), terms, actor=caller.actor)
        )
        return mandate_out(row)

    @router.delete("/mandates/{mandate_id}", status_code=204)
    async def take_back(mandate_id: str, caller: Trader) -> None:
        """Take a mandate back; what it opened stays protected and can be closed."""
        await deps.db.write(
            lambda tx: deps.mandates.delete(tx, caller.user_id, MandateId(mandate_id), actor=caller.actor)
        )
