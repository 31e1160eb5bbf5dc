"""Everything the routes need, held together: one desk per application."""

from __future__ import annotations

from dataclasses import dataclass, field

from microtome.api.browse.cache import BrowseCache
from microtome.api.limits import Limits
from microtome.api.oidc import Provider, provider_of
from microtome.api.stream import Broadcast
from microtome.api.watch import Watch
from microtome.collab.accounts import Accounts
from microtome.collab.accounts.federated import Federated
from microtome.collab.annotations import Annotations
from microtome.collab.findings.checks import Checks
from microtome.collab.findings.findings import Findings
from microtome.collab.findings.verify import Verifier
from microtome.collab.hypotheses.cards import Hypotheses
from microtome.collab.labels.decisions import Decisions
from microtome.collab.labels.exchange.exchange import Exchange
from microtome.collab.labels.queue import Queue
from microtome.collab.labels.ratings import Ratings
from microtome.collab.labels.scores import Scores
from microtome.collab.labels.sets import LabelSets
from microtome.collab.people import People
from microtome.collab.permits import Permits
from microtome.collab.presence import Presence
from microtome.collab.quotas import Quotas
from microtome.collab.saved import Selections, Shares
from microtome.collab.studies.outcome import Outcomes
from microtome.collab.studies.studies import Studies
from microtome.collab.studies.taking import Taking
from microtome.collab.talk.comments import Comments
from microtome.collab.talk.notifications import Notifications
from microtome.collab.talk.votes import Votes
from microtome.core.settings import Settings
from microtome.engine import Engine
from microtome.store import Store


@dataclass
class Desk:
    """See the module's docstring."""

    settings: Settings
    engine: Engine
    store: Store
    people: People
    accounts: Accounts
    federated: Federated
    oidc: Provider | None
    limits: Limits
    annotations: Annotations
    label_sets: LabelSets
    label_queue: Queue
    label_scores: Scores
    label_exchange: Exchange
    ratings: Ratings
    decisions: Decisions
    comments: Comments
    votes: Votes
    notifications: Notifications
    selections: Selections
    shares: Shares
    permits: Permits
    presence: Presence
    quotas: Quotas
    hypotheses: Hypotheses
    studies: Studies
    study_taking: Taking
    study_outcomes: Outcomes
    findings: Findings
    finding_checks: Checks
    verifier: Verifier
    browse: BrowseCache
    broadcast: Broadcast = field(init=False)
    watch: Watch = field(init=False)
    own_engine: bool = False

    def start(self) -> None:
        self.engine.start()
        self.broadcast.start()
        self.watch.start()

    def stop(self) -> None:
        self.watch.stop()
        self.broadcast.stop()
        self.engine.stop()
        if self.own_engine:
            self.store.close()


def open_desk(settings: Settings, engine: Engine | None) -> Desk:
    """Open store and engine, or take the engine that is given."""
    own = engine is None
    engine = engine or Engine(settings)
    store = engine.store
    people = People(store)
    accounts = Accounts(store, people.key, settings.session_hours)
    findings, finding_checks = Findings(store, people, engine.events), Checks(store, engine.events)
    desk = Desk(
        settings=settings,
        engine=engine,
        store=store,
        people=people,
        accounts=accounts,
        federated=Federated(accounts, settings.oidc_domains, settings.oidc_role),
        oidc=provider_of(settings, people.key),
        limits=Limits({"reads": settings.reads_per_minute, "writes": settings.writes_per_minute, "runs": settings.runs_per_minute}),
        annotations=Annotations(store, people, engine.events),
        label_sets=LabelSets(store, engine.events),
        label_queue=Queue(store, engine.events, team=settings.team),
        label_scores=Scores(store),
        label_exchange=Exchange(store, engine.events, team=settings.team),
        ratings=Ratings(store, engine.events),
        decisions=Decisions(store, engine.events),
        comments=Comments(store, engine.events, team=settings.team),
        votes=Votes(store, engine.events),
        notifications=Notifications(store, engine.events),
        selections=Selections(store, people),
        shares=Shares(store, people),
        permits=Permits(store, engine.events, team=settings.team),
        presence=Presence(store),
        quotas=Quotas(store, settings),
        hypotheses=Hypotheses(engine),
        studies=Studies(engine),
        study_taking=Taking(store, engine.events),
        study_outcomes=Outcomes(store),
        findings=findings,
        finding_checks=finding_checks,
        verifier=Verifier(engine, findings, finding_checks),
        browse=BrowseCache(store),
        own_engine=own,
    )
    desk.broadcast = Broadcast(desk)
    desk.watch = Watch([desk.hypotheses.settle, desk.studies.advance, desk.verifier.settle_open])
    return desk
