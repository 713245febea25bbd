"""The one place where settings become objects: a worker process of each role."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import faust

from agents.ack import BatchLimits, Progress
from agents.app import AppSettings, add_agent, build_app
from agents.archive import DeadLetterWork, archive_alerts, archive_verdicts
from agents.dead_letter_office import DeadLetterLimits, DeadLetterOffice
from agents.evidence import EvidenceKeeper
from agents.outlet import Outlet
from agents.relay import Relay
from agents.retention import RetentionRule
from agents.session import Session
from agents.sweeper import Sweeper, make_months
from agents.topic_admin import check_topics
from agents.watchdog import Watchdog
from deploy.engine_cache import engine_cache
from deploy.settings import Settings, aiokafka_options, faust_credentials
from schemas.errors import SetupError
from schemas.tables import VerdictKind
from schemas.topics import Topics

ROLES = ("inspect", "root-cause", "archive")
"""What `sightline worker ROLE` can be; `up` runs `workers` of the first and one of each other."""


@dataclass(frozen=True, slots=True)
class Worker:
    """A Faust app ready to run and what must be closed after it."""

    app: faust.App
    progress: Progress
    close: Callable[[], None]


def build_worker(role: str, settings: Settings) -> Worker:
    """Check the topics, then wire the agents of `role`.

    Raises: SetupError when the role, a setting, a topic or the database is wrong.
    """
    builders = {"inspect": _inspect, "root-cause": _root_cause, "archive": _archive}
    if role not in builders:
        raise SetupError(f"no such worker role: {role!r}; roles are {', '.join(ROLES)}")
    topics = Topics(settings.topic_prefix)
    check_topics(settings, topics.specs(settings.partitions))
    progress = Progress()
    app = build_app(
        role,
        AppSettings(
            brokers=settings.kafka_url,
            state_dir=settings.state_dir,
            topic_prefix=settings.topic_prefix,
            credentials=faust_credentials(settings),
            session_timeout_s=settings.session_timeout_s,
            stream_buffer_frames=settings.stream_buffer_frames,
        ),
    )
    close = builders[role](app, settings, topics, progress)
    Watchdog(progress, settings.watchdog_s).start()
    return Worker(app, progress, close)


def sightline_version() -> str:
    """The installed version, as verdicts carry it."""
    try:
        return version("sightline")
    except PackageNotFoundError:
        return "0"


def _outlet(app: faust.App, settings: Settings, progress: Progress) -> Outlet:
    return Outlet({**aiokafka_options(settings), "client_id": app.conf.id}, progress)


def _inspect(app: faust.App, settings: Settings, topics: Topics, progress: Progress) -> Callable[[], None]:
    from agents.engine_child import ChildSettings
    from agents.engine_pool import EnginePool, PoolSettings
    from agents.inspect import ClaimRules, InspectParts, InspectWork
    from agents.live_recipes import LiveRecipes

    pool = EnginePool(
        PoolSettings(settings.engine_processes, settings.engine_deadline_ms / 1000, settings.engine_retries),
        ChildSettings(settings.bundles_url, settings.engine_backend, settings.engine_threads, engine_cache()),
    )
    recipes = LiveRecipes(Session(settings.postgres_url, "sightline inspect recipes", Progress()), pool.load)
    parts = InspectParts(
        topics=topics,
        recipes=recipes,
        pool=pool,
        outlet=_outlet(app, settings, progress),
        evidence=EvidenceKeeper(settings.evidence_url, progress),
        office=DeadLetterOffice(
            DeadLetterLimits(settings.dead_letter_limit_consecutive, settings.dead_letter_limit_ratio)
        ),
        claims=ClaimRules(settings.claim_urls),
        progress=progress,
        version=sightline_version(),
    )
    limits = BatchLimits(
        max_records=settings.batch_max_frames,
        max_wait_s=settings.batch_max_wait_ms / 1000,
        depth=settings.engine_processes + 1,
    )
    add_agent(app, topics.frames, "inspect", InspectWork(parts), limits, progress)
    app.task(recipes.follow)
    return pool.stop


def _root_cause(app: faust.App, settings: Settings, topics: Topics, progress: Progress) -> Callable[[], None]:
    from agents.golden import GoldenReferences
    from agents.root_cause import RootCauseParts, RootCauseWork

    session = Session(settings.postgres_url, "sightline root-cause", progress)
    work = RootCauseWork(
        RootCauseParts(
            topics=topics,
            session=session,
            evidence=EvidenceKeeper(settings.evidence_url, progress),
            golden=GoldenReferences(settings.bundles_url),
            outlet=_outlet(app, settings, progress),
            progress=progress,
        )
    )
    add_agent(app, topics.aligned, "root-cause", work, BatchLimits(max_records=32, max_wait_s=0.1, depth=1), progress)
    app.on_partitions_assigned.connect(work.forget, weak=False)
    return session.close


def _archive(app: faust.App, settings: Settings, topics: Topics, progress: Progress) -> Callable[[], None]:
    outlet = _outlet(app, settings, progress)
    sessions = {
        name: Session(settings.postgres_url, f"sightline archive {name}", progress)
        for name in ("verdicts", "reinspections", "alerts", "dead-letters", "relay", "months")
    }
    limits = BatchLimits(max_records=200, max_wait_s=0.05, depth=1)
    letters = topics.dead_letters
    live = archive_verdicts(VerdictKind.LIVE, sessions["verdicts"], outlet, letters)
    again = archive_verdicts(VerdictKind.REINSPECTION, sessions["reinspections"], outlet, letters)
    evidence = EvidenceKeeper(settings.evidence_url, progress)
    add_agent(app, topics.verdicts, "verdicts", live, limits, progress)
    add_agent(app, topics.reinspections, "reinspections", again, limits, progress)
    add_agent(app, topics.alerts, "alerts", archive_alerts(sessions["alerts"], outlet, letters), limits, progress)
    add_agent(app, letters, "dead-letters", DeadLetterWork(sessions["dead-letters"], evidence), limits, progress)
    relay = Relay(sessions["relay"], _outlet(app, settings, Progress()), settings.topic_prefix)
    app.task(relay.run)

    async def months() -> None:
        await make_months(sessions["months"])

    app.task(months)
    app.task(Sweeper(settings.evidence_url, _retention(settings)).run)

    def close() -> None:
        for session in sessions.values():
            session.close()

    return close


def _retention(settings: Settings) -> tuple[RetentionRule, ...]:
    return tuple(
        RetentionRule(kind, None if days is None else days * 86400.0, settings.evidence_max_bytes.get(kind))
        for kind, days in settings.evidence_max_age_days.items()
    )
