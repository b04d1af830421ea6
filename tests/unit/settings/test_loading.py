"""The environment into settings."""

import pytest

from xwe.errors import SettingsError
from xwe.settings import client_environment, environment_warnings, load_settings
from xwe.settings.loading import SPARE_THREADS
from xwe.settings.providers import PLACEHOLDER_KEY, PROVIDERS
from xwe.settings.variables import VARIABLES

CANARY = "sk-canary 0123456789"

# Whatever a variable's kind, this does not fit.
NEVER_RIGHT = "\0"

# Slips that people make.
WRONG = {
    "HOST": "256.1.1.1",
    "PORT": "70000",
    "XWE_WEB_WORKERS": "0",
    "XWE_WEB_THREADS": "many",
    "XWE_DRAIN_TIMEOUT": "0",
    "XWE_MAX_BODY": "2MB",
    "XWE_KEEPALIVE": "-1",
    "XWE_SEND_TIMEOUT": "nan",
    "XWE_ACCESS_LOG": "perhaps",
    "XWE_ACCESS": "closed",
    "XWE_API_TOKEN": "two words",
    "XWE_SIGNUP": "maybe",
    "LLM_PROVIDER": "deepsick",
    "LLM_BASE_URL": "localhost:11434",
    "LLM_API_KEY": CANARY,
    "DEEPSEEK_API_KEY": CANARY,
    "OPENROUTER_API_KEY": CANARY,
    "OPENAI_API_KEY": CANARY,
    "LLM_MODEL": "two words",
    "LLM_JSON_MODE": "yes",
    "LLM_TRANSPORT": "httpx",
    "LLM_ASYNC_WORKERS": "5.5",
    "LLM_ASYNC_QUEUE_SIZE": "-1",
    "LLM_ASYNC_TIMEOUT": "30s",
    "LLM_ASYNC_ENABLED": "2",
    "LLM_MAX_INFLIGHT": "1_000",
    "XWE_MAX_LLM_RETRIES": "0",
    "LLM_CONNECT_TIMEOUT": "inf",
    "LLM_FIRST_TOKEN_TIMEOUT": "1e3",
    "LLM_IDLE_TIMEOUT": "-3",
    "LLM_STREAM_TIMEOUT": "99999999",
    "LLM_RPM": "0",
    "LLM_TPM": "٣",
    "LLM_BREAKER_FAILURES": "none",
    "LLM_BREAKER_RESET": ".",
    "LLM_CACHE_TTL": "0",
    "XWE_STREAM_FLUSH_MS": "2000",
    "XWE_STREAM_ON_DISCONNECT": "stop",
    "XWE_MAX_STREAMS": "some",
    "XWE_DATABASE_URL": "mysql://x",
    "ENABLE_PROMETHEUS": "t",
    "LOG_LEVEL": "verbose",
    "LOG_FORMAT": "xml",
}


def test_nothing_set_is_a_server_for_this_machine_with_the_built_in_model():
    settings = load_settings({})
    assert (settings.server.host, settings.server.port) == ("127.0.0.1", 8000)
    assert settings.provider.name == "mock"
    assert settings.provider.is_demo
    assert settings.access.mode == "open"
    assert settings.llm.transport == "aiohttp"
    assert settings.given == frozenset()


def test_the_documents_defaults_hold():
    llm = load_settings({}).llm
    assert (llm.async_workers, llm.queue_size, llm.timeout_s, llm.enabled, llm.max_retries) == (
        5,
        100,
        30.0,
        True,
        3,
    )


@pytest.mark.parametrize("variable", VARIABLES, ids=lambda variable: variable.name)
def test_a_wrong_value_is_one_line_with_the_variable_the_value_and_what_is_allowed(variable):
    wrong = WRONG.get(variable.name, NEVER_RIGHT)
    with pytest.raises(SettingsError) as caught:
        load_settings({variable.name: wrong})
    message = caught.value.message
    assert message.startswith(f"{variable.name}=")
    assert variable.parse.allowed in message
    assert "\n" not in message
    assert variable.secret or repr(wrong) in message


@pytest.mark.parametrize("variable", [v for v in VARIABLES if v.secret], ids=lambda v: v.name)
def test_a_wrong_secret_is_never_repeated(variable):
    with pytest.raises(SettingsError) as caught:
        load_settings({variable.name: CANARY + "\n"})
    assert "canary" not in caught.value.message
    assert "canary" not in caught.value.value


def test_a_long_or_broken_value_stays_one_short_line():
    with pytest.raises(SettingsError) as caught:
        load_settings({"PORT": "8\n" * 10_000})
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 300


@pytest.mark.parametrize("blank", ["", "  "])
def test_an_empty_value_counts_as_not_set(blank):
    assert load_settings(dict.fromkeys(WRONG, blank)) == load_settings({})


@pytest.mark.parametrize("name", ["deepseek", "openrouter", "openai"])
def test_a_key_chooses_its_provider(name):
    provider = PROVIDERS[name]
    settings = load_settings({provider.key_variable: "sk-1"})
    assert settings.provider.name == name
    assert settings.provider.api_key == "sk-1"
    assert settings.provider.base_url == provider.base_url
    assert settings.provider.model == provider.default_model
    assert not settings.provider.is_demo
    assert settings.access.mode == "login"
    assert settings.access.signup == "closed"


def test_only_an_address_is_a_custom_provider_without_a_key():
    provider = load_settings({"LLM_BASE_URL": "http://127.0.0.1:11434/v1/"}).provider
    assert (provider.name, provider.base_url) == ("custom", "http://127.0.0.1:11434/v1")
    assert provider.api_key == PLACEHOLDER_KEY
    assert not provider.is_demo


def test_an_address_redirects_the_provider_whose_key_is_set():
    environ = {"DEEPSEEK_API_KEY": "sk-1", "LLM_BASE_URL": "http://127.0.0.1:9/v1"}
    provider = load_settings(environ).provider
    assert (provider.name, provider.base_url, provider.api_key) == (
        "deepseek",
        "http://127.0.0.1:9/v1",
        "sk-1",
    )


def test_a_real_key_is_not_sent_to_the_demo():
    environ = {"LLM_PROVIDER": "mock", "LLM_API_KEY": "sk-1", "DEEPSEEK_API_KEY": "sk-2"}
    assert load_settings(environ).provider.api_key == PLACEHOLDER_KEY


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"LLM_PROVIDER": "deepseek"}, "DEEPSEEK_API_KEY or LLM_API_KEY"),
        ({"LLM_PROVIDER": "openai", "DEEPSEEK_API_KEY": "sk-1"}, "OPENAI_API_KEY"),
        ({"LLM_PROVIDER": "custom"}, "LLM_BASE_URL"),
        ({"LLM_API_KEY": "sk-1"}, "say which"),
    ],
)
def test_a_provider_without_what_it_needs_says_what_that_is(environ, says):
    with pytest.raises(SettingsError, match="LLM_PROVIDER") as caught:
        load_settings(environ)
    assert says in caught.value.message
    assert "sk-1" not in caught.value.message


@pytest.mark.parametrize(
    "address",
    [
        "http://user:secret@127.0.0.1/v1",
        "http://127.0.0.1/v1?key=1",
        "http://127.0.0.1/v1/chat/completions",
        "http://127.0.0.1:99999/v1",
        "ftp://127.0.0.1/v1",
        "http:///v1",
        "http://a b/v1",
    ],
)
def test_an_address_that_cannot_be_a_base_is_refused(address):
    with pytest.raises(SettingsError, match="LLM_BASE_URL"):
        load_settings({"LLM_BASE_URL": address})


def test_a_thousand_calls_run_at_once_by_default():
    assert load_settings({}).llm.max_inflight >= 1000


def test_calls_waiting_and_streams_leave_threads_to_refuse_with():
    settings = load_settings({"XWE_WEB_THREADS": "300", "LLM_ASYNC_QUEUE_SIZE": "20"})
    assert settings.llm.max_inflight == 300 - 20 - 64 - SPARE_THREADS


@pytest.mark.parametrize(
    ("environ", "variable"),
    [
        ({"XWE_WEB_THREADS": "100"}, "XWE_WEB_THREADS"),
        ({"LLM_ASYNC_QUEUE_SIZE": "1184"}, "XWE_WEB_THREADS"),
        ({"XWE_MAX_STREAMS": "1200"}, "XWE_WEB_THREADS"),
        ({"LLM_MAX_INFLIGHT": "1021"}, "LLM_MAX_INFLIGHT"),
        ({"LLM_TRANSPORT": "requests", "LLM_ASYNC_WORKERS": "1021"}, "LLM_ASYNC_WORKERS"),
    ],
)
def test_settings_that_leave_no_thread_free_stop_the_start(environ, variable):
    with pytest.raises(SettingsError) as caught:
        load_settings(environ)
    assert caught.value.variable == variable
    assert "at " in caught.value.message


def test_the_largest_numbers_that_fit_are_taken():
    assert load_settings({"LLM_MAX_INFLIGHT": "1020"}).llm.max_inflight == 1020
    load_settings({"LLM_TRANSPORT": "requests", "LLM_ASYNC_WORKERS": "1020"})
    load_settings({"XWE_WEB_THREADS": "181"})


def test_no_secret_is_in_a_settings_repr_or_its_description():
    environ = {
        "XWE_API_TOKEN": "canary-1",
        "DEEPSEEK_API_KEY": "canary-3",
        "XWE_DATABASE_URL": "postgresql://u:canary-4@db/x",
    }
    settings = load_settings(environ)
    assert "canary" not in repr(settings)
    rows = {row.name: row for row in settings.describe()}
    assert "canary" not in repr(rows)
    assert all(rows[name].value == "(hidden)" and rows[name].is_set for name in environ)
    assert rows["LLM_API_KEY"].value == "not set"


def test_the_description_tells_the_value_in_force():
    rows = {row.name: row for row in load_settings({"LLM_ASYNC_TIMEOUT": "2.50"}).describe()}
    assert len(rows) == len(VARIABLES)
    assert (rows["LLM_ASYNC_TIMEOUT"].value, rows["LLM_ASYNC_TIMEOUT"].is_set) == ("2.5", True)
    assert rows["LLM_MAX_INFLIGHT"].value == "1020"
    assert rows["XWE_ACCESS_LOG"].value == "false"
    assert rows["LLM_RPM"].value == "not set"


def test_a_misspelt_variable_is_named_with_the_nearest_one():
    lines = environment_warnings({"LLM_ASYNC_WORKER": "5", "XWE_THREADS": "", "PATH": "/bin"})
    assert lines == [
        "LLM_ASYNC_WORKER is not a setting of xwe. Did you mean LLM_ASYNC_WORKERS?",
        "XWE_THREADS is not a setting of xwe. Did you mean XWE_WEB_THREADS?",
    ]


def test_a_bare_client_hears_nothing_from_an_empty_environment():
    bare = client_environment({})
    assert (bare.api_key, bare.base_url, bare.model, bare.transport, bare.max_retries) == (
        (None,) * 5
    )


def test_a_bare_client_takes_what_is_set():
    bare = client_environment(
        {
            "DEEPSEEK_API_KEY": "sk-1",
            "LLM_BASE_URL": "http://127.0.0.1:9/v1",
            "LLM_MODEL": "m",
            "LLM_TRANSPORT": "openai",
            "XWE_MAX_LLM_RETRIES": "7",
        }
    )
    assert (bare.api_key, bare.base_url, bare.model, bare.transport, bare.max_retries) == (
        "sk-1",
        "http://127.0.0.1:9/v1",
        "m",
        "openai",
        7,
    )
    assert "sk-1" not in repr(bare)


def test_a_bare_client_does_not_send_another_providers_key_to_deepseek():
    assert client_environment({"LLM_API_KEY": "sk-1"}).api_key is None
    assert client_environment({"LLM_API_KEY": "sk-1", "LLM_PROVIDER": "openai"}).api_key is None
    ours = {"LLM_API_KEY": "sk-1", "LLM_PROVIDER": "deepseek", "DEEPSEEK_API_KEY": "sk-2"}
    assert client_environment(ours).api_key == "sk-1"


def test_every_variable_goes_to_a_field_that_exists():
    assert len(load_settings({}).describe()) == len(VARIABLES)
