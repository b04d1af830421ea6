"""The composition root: builds the services from the settings. Nothing else wires."""

from dataclasses import dataclass
from datetime import timedelta

from xwe.core.nlp.call_path import PhaseLimits
from xwe.core.nlp.client_policy import ClientPolicy
from xwe.core.nlp.llm_client import CHAT_COMPLETIONS, LLMClient
from xwe.core.nlp.retry import RetryPolicy
from xwe.core.nlp.tools.agent import Agent
from xwe.core.nlp.tools.policy import AgentPolicy
from xwe.jobs.attempt import AttemptTimes
from xwe.jobs.in_process import InProcessRunner
from xwe.jobs.rows import JobRows
from xwe.jobs.work import Handler
from xwe.observability.observation import Observation
from xwe.observability.spans import Spans
from xwe.services.accounts import Accounts
from xwe.services.characters.bundled_texts import Prompts
from xwe.services.characters.generation import CharacterGeneration
from xwe.services.characters.service import Characters
from xwe.services.chats.service import Chats
from xwe.services.chats.values import ChatTimes, PromptLimits
from xwe.services.everyday_tools import EVERYDAY_TOOLS
from xwe.services.housekeeping import Housekeeping
from xwe.services.limits import Limits, UserLimits
from xwe.services.tasks import TaskNotifier, Tasks
from xwe.services.tool_plugins import with_plugins
from xwe.services.travel_tools import TRAVEL_TOOLS
from xwe.settings import Settings
from xwe.storage.database import Database
from xwe.streams.answers import AnswerLimits, Answers
from xwe.streams.notifications import Notifications


@dataclass(frozen=True, slots=True)
class Services:
    """What the web, the worker and the command line work with."""

    settings: Settings
    client: LLMClient
    answers: Answers
    agent: Agent
    database: Database
    accounts: Accounts
    limits: Limits
    chats: Chats
    characters: Characters
    housekeeping: Housekeeping
    jobs: InProcessRunner
    job_handlers: dict[str, Handler]
    tasks: Tasks
    observation: Observation
    notifications: Notifications

    def start(self) -> None:
        """Start the background work: jobs, answer leases, housekeeping. Idempotent."""
        self.chats.start()
        self.jobs.start()
        self.housekeeping.start()

    def begin_drain(self) -> None:
        """Take no new work; running work may continue for XWE_DRAIN_TIMEOUT."""
        self.answers.drain(self.settings.server.drain_s)
        self.jobs.drain()
        self.tasks.drain()

    def close(self) -> None:
        """Release what the services hold. Idempotent."""
        self.tasks.drain()
        self.housekeeping.close()
        self.jobs.close()
        self.chats.close()  # first: it stores how far its answers came
        self.answers.shut_down()
        self.agent.close()
        self.client.cleanup()
        self.observation.close()
        self.accounts.close()
        self.database.close()


def build_services(settings: Settings) -> Services:
    """Wire the application; nothing is started and no connection is made."""
    observation = Observation(spans=Spans.if_installed())
    client = _client(settings, observation)
    observation.watch(client.stats)
    answers = _answers(settings)
    database = Database(
        settings.storage.database_url,
        pool_size=settings.storage.database_pool_size,
        timeout_s=settings.storage.database_timeout_s,
    )
    notifications = Notifications()
    limits = _limits(settings)
    handlers = _job_handlers(settings, database, client)
    jobs = InProcessRunner(
        JobRows(database, TaskNotifier(notifications)),
        handlers,
        workers=settings.jobs.workers,
        times=AttemptTimes(lease_s=settings.jobs.lease_s),
    )
    tasks = Tasks(database, notifications, wake=jobs.wake, limits=limits)
    return Services(
        settings=settings,
        client=client,
        answers=answers,
        agent=_agent(settings, client),
        database=database,
        accounts=Accounts(database, signup_is_open=settings.access.signup == "open"),
        limits=limits,
        chats=_chats(settings, database, client, answers, notifications),
        characters=Characters(database, tasks, limits),
        housekeeping=Housekeeping(database, timedelta(days=settings.storage.keep_deleted_days)),
        jobs=jobs,
        job_handlers=handlers,
        tasks=tasks,
        observation=observation,
        notifications=notifications,
    )


def _client(settings: Settings, observation: Observation) -> LLMClient:
    provider, llm = settings.provider, settings.llm
    return LLMClient(
        api_key=provider.api_key,
        api_url=provider.base_url + CHAT_COMPLETIONS,
        model_name=provider.model,
        timeout=llm.timeout_s,
        transport=llm.transport,
        policy=ClientPolicy(
            retry=RetryPolicy(max_attempts=llm.max_retries),
            phases=PhaseLimits(
                connect_s=llm.connect_timeout_s,
                first_token_s=llm.first_token_timeout_s,
                idle_s=llm.idle_timeout_s,
            ),
            stream_timeout_s=llm.stream_timeout_s,
            max_inflight=llm.max_inflight,
            queue_size=llm.queue_size,
            breaker_failures=llm.breaker_failures,
            breaker_reset_s=llm.breaker_reset_s,
            rpm=llm.rpm,
            tpm=llm.tpm,
            cache_ttl_s=llm.cache_ttl_s,
            json_mode=provider.json_mode,
            reply_limit_field=provider.reply_limit_field,
            request_extra=provider.request_extra,
            observer=observation.observe_call,
        ),
    )


def _answers(settings: Settings) -> Answers:
    return Answers(
        AnswerLimits(
            max_running=settings.llm.max_inflight,
            max_running_each=settings.users.running_streams,
            keep_s=settings.streams.keep_s,
            on_disconnect=settings.streams.on_disconnect,
            alone_s=settings.streams.alone_s,
        )
    )


def _agent(settings: Settings, client: LLMClient) -> Agent:
    return Agent(
        client,
        with_plugins((*TRAVEL_TOOLS, *EVERYDAY_TOOLS), settings.agent.tools),
        policy=AgentPolicy(
            turn_timeout_s=settings.agent.turn_timeout_s,
            tool_threads=settings.agent.tool_threads,
        ),
    )


def _limits(settings: Settings) -> Limits:
    users = settings.users
    return Limits(
        UserLimits(
            requests_per_minute=users.requests_per_minute,
            jobs=users.jobs,
            characters=users.characters,
            prompt_bytes=users.prompt_bytes,
        ),
        registrations_per_hour=settings.access.registrations_per_hour,
    )


def _job_handlers(settings: Settings, database: Database, client: LLMClient) -> dict[str, Handler]:
    """The handlers of jobs by kind."""
    prompts = Prompts(settings.characters.prompts_dir)
    return CharacterGeneration(database, client, prompts=prompts).handlers


def _chats(
    settings: Settings,
    database: Database,
    client: LLMClient,
    answers: Answers,
    notifications: Notifications,
) -> Chats:
    chats = settings.chats
    return Chats(
        database,
        client,
        answers,
        notifications,
        times=ChatTimes(lease_s=chats.lease_s, snapshot_s=chats.snapshot_s, reap_s=chats.reap_s),
        limits=PromptLimits(history_tokens=chats.history_tokens),
        max_running_each=settings.users.running_streams,
    )
