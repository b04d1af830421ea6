"""The one error tree. Every exception that xwe raises on purpose is named here, by its cause.

::

    XweError
    ├── SettingsError (ValueError)            a variable has a value that cannot be used
    ├── MissingExtraError (ImportError)       a package of an extra is not installed
    ├── InvalidRequestError (ValueError)      the caller sent something malformed; names the field
    ├── SaturatedError                        busy, and the queue is full: refused at once
    ├── DrainingError                         shutting down: no new work
    ├── ClosedError (RuntimeError)            used after cleanup() or close()
    ├── LoopDeadlockError (RuntimeError)      waiting here could never end
    ├── DeadlineExceededError (TimeoutError)  the caller's time ran out
    ├── UnknownStreamError                    no such answer, or not the caller's
    ├── StreamGapError                        an answer's early events are gone
    ├── ToolArgumentsError                    a model's arguments do not fit the tool
    ├── NotFoundError                         no such thing, or not the caller's
    ├── UnauthorizedError                     nobody is signed in
    │   └── WrongPasswordError                name and password do not belong together
    ├── SignupClosedError                     the operator makes the accounts
    ├── LimitExceededError                    the user's own limit, not the server's
    ├── ConflictError                         what is stored does not allow it, as things stand
    │   ├── UsernameTakenError                somebody has that name
    │   ├── NameTakenError                    the owner has a character of that name
    │   ├── CharacterLimitError               as many characters as a user may have
    │   ├── TokenLimitError                   as many tokens as a user may have
    │   ├── StaleVersionError                 it was changed since the caller read it
    │   └── GenerationRunningError            the conversation is being answered already
    ├── JobCancelledError                     inside a job: its owner has cancelled it
    ├── JobLostError                          inside a job: another runner has it by now, or will
    ├── AnswerLostError                       the process that made an answer died
    ├── IdempotencyClashError                 the key of another request, with another body
    ├── DatabaseUnavailableError              locked, away, or all connections taken
    ├── SourceUnavailableError                an encyclopaedia cannot be fetched from
    │   └── SourceNotFoundError               it has no such article
    └── ProviderError                         the model's provider failed
        ├── ProviderUnreachableError          no connection: DNS, refused, reset before a reply
        ├── ProviderTimeoutError (TimeoutError)  connected, and then too little came in time
        ├── ProviderStatusError               5xx
        ├── ProviderRejectedError             4xx: this request will never be accepted
        │   └── ProviderAuthError             401 and 403: the key
        ├── ProviderRateLimitedError          429: the provider's limit, or an empty account
        ├── ProviderBadReplyError             an answer that is not the protocol
        │   └── StructuredReplyError          an answer that does not fit the JSON schema
        ├── StreamInterruptedError            a stream that ended before its end
        └── CircuitOpenError                  not asked: it failed too often just now

`code` is the machine's name of the error (it reaches HTTP clients and metrics); `retryable` says
whether the same call may work later; `retry_after_s` says when, in seconds, where that is known.
The message is for people. It never holds a prompt, a reply or a key.
"""

from typing import ClassVar


class XweError(Exception):
    """Base of everything that xwe raises on purpose."""

    code: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str = "", *, retry_after_s: float | None = None) -> None:
        # A subclass of a user's own may have no docstring.
        super().__init__(message or (self.__doc__ or type(self).__name__).partition("\n")[0])
        self.retry_after_s = retry_after_s

    @property
    def message(self) -> str:
        """The text for people."""
        return str(self.args[0])


class SettingsError(XweError, ValueError):
    """A setting has a value that cannot be used."""

    code = "settings"

    def __init__(self, variable: str, value: str, allowed: str) -> None:
        super().__init__(f"{variable}={value!r} cannot be used: {allowed}")
        self.variable, self.value, self.allowed = variable, value, allowed


class MissingExtraError(XweError, ImportError):
    """A package that `pip install xwe` leaves out is not installed; names the line to type."""

    code = "missing_extra"


class InvalidRequestError(XweError, ValueError):
    """The request is malformed."""

    code = "invalid_request"

    def __init__(self, message: str = "", *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class SaturatedError(XweError):
    """Every place is taken and the queue is full; try again shortly."""

    code = "saturated"
    retryable = True


class DrainingError(XweError):
    """The server is shutting down and takes no new work; try again shortly."""

    code = "draining"
    retryable = True


class ClosedError(XweError, RuntimeError):
    """It was used after it had been closed."""

    code = "closed"


class LoopDeadlockError(XweError, RuntimeError):
    """Waiting here would block the very thread that has to do the work."""

    code = "deadlock"


class DeadlineExceededError(XweError, TimeoutError):
    """The deadline passed before there was an answer."""

    code = "deadline_exceeded"
    retryable = True


class UnknownStreamError(XweError):
    """There is no such answer; it may have ended some minutes ago."""

    code = "not_found"


class StreamGapError(XweError):
    """The events after this number are not kept any more."""

    code = "stream_gap"

    def __init__(self, *, after: int, first: int, last: int) -> None:
        super().__init__(
            f"There are events {first} to {last}; those right after {after} are not among them."
        )


class ToolArgumentsError(XweError):
    """A tool call's arguments do not fit the tool; the message tells a model how to mend them."""

    code = "tool_arguments"


class NotFoundError(XweError):
    """There is no such thing, or it is not yours."""

    code = "not_found"


class UnauthorizedError(XweError):
    """Sign in first."""

    code = "unauthorized"


class WrongPasswordError(UnauthorizedError):
    """The name or the password is wrong."""

    code = "wrong_password"


class SignupClosedError(XweError):
    """Accounts are made by the operator here: `xwe user add`, or XWE_SIGNUP=open."""

    code = "signup_closed"


class LimitExceededError(XweError):
    """You have reached your limit; try again a little later."""

    code = "limit_exceeded"
    retryable = True


class ConflictError(XweError):
    """What is stored does not allow this, as things stand."""

    code = "conflict"


class UsernameTakenError(ConflictError):
    """Somebody has this name already."""

    code = "username_taken"


class NameTakenError(ConflictError):
    """You have a character of this name already."""

    code = "name_taken"


class CharacterLimitError(ConflictError):
    """You have as many characters as you may; delete one first."""

    code = "character_limit"


class TokenLimitError(ConflictError):
    """You have as many tokens as you may; delete one first."""

    code = "token_limit"


class StaleVersionError(ConflictError):
    """It was changed since you read it; read it again."""

    code = "stale_version"


class GenerationRunningError(ConflictError):
    """This conversation is being answered already; wait for the end, or stop it."""

    code = "generation_running"
    retryable = True


class JobCancelledError(XweError):
    """The job was cancelled."""

    code = "job_cancelled"


class JobLostError(XweError):
    """The job is not this runner's any more: another one takes it up."""

    code = "job_lost"
    retryable = True


class AnswerLostError(XweError):
    """The server process that made this answer has died; what it had written stands."""

    code = "answer_lost"
    retryable = True


class IdempotencyClashError(XweError):
    """This idempotency key came with another request before."""

    code = "idempotency_clash"


class DatabaseUnavailableError(XweError):
    """The database does not answer now; try again shortly."""

    code = "database_unavailable"
    retryable = True


class SourceUnavailableError(XweError):
    """The source cannot be fetched from this server; paste the text instead."""

    code = "source_unavailable"


class SourceNotFoundError(SourceUnavailableError):
    """The source has no article of this title; paste the text instead."""

    code = "source_not_found"


class ProviderError(XweError):
    """The model's provider failed."""

    code = "provider_error"


class ProviderUnreachableError(ProviderError):
    """The model's provider could not be reached."""

    retryable = True


class ProviderTimeoutError(ProviderError, TimeoutError):
    """The model's provider did not answer in time."""

    code = "provider_timeout"
    retryable = True


class ProviderStatusError(ProviderError):
    """The model's provider answered with a server error."""

    retryable = True

    def __init__(
        self, message: str = "", *, status: int = 500, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.status = status


class ProviderRejectedError(ProviderError):
    """The model's provider refused the request as it stands."""

    def __init__(self, message: str = "", *, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class ProviderAuthError(ProviderRejectedError):
    """The model's provider refused the key; check LLM_API_KEY and LLM_BASE_URL."""

    code = "provider_auth"


class ProviderRateLimitedError(ProviderError):
    """The model's provider is limiting us."""

    code = "provider_rate_limited"
    retryable = True

    def __init__(
        self,
        message: str = "",
        *,
        retry_after_s: float | None = None,
        quota_exhausted: bool = False,
    ) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        # An empty account does not fill up within a retry's time.
        self.quota_exhausted = quota_exhausted


class ProviderBadReplyError(ProviderError):
    """The model's provider sent an answer that is not the protocol."""

    code = "provider_bad_reply"


class StructuredReplyError(ProviderBadReplyError):
    """The model's answer does not fit the JSON schema, also after it was shown its error."""


class StreamInterruptedError(ProviderError):
    """The model's stream broke off; the text so far stands.

    `reason` is one of "idle", "reset", "truncated", "too_large", "total" and "error" (the provider
    said so in mid-stream).
    """

    code = "stream_interrupted"
    retryable = True

    def __init__(self, message: str = "", *, reason: str = "truncated") -> None:
        super().__init__(message)
        self.reason = reason


class CircuitOpenError(ProviderError):
    """The model's provider failed too often just now and is left alone for a moment."""

    code = "circuit_open"
    retryable = True
