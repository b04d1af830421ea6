"""A real model that everybody may use is not served to strangers."""

import pytest

from xwe.errors import SettingsError
from xwe.settings import check_exposure, load_settings

OPEN_AND_REAL = {"DEEPSEEK_API_KEY": "sk-1", "XWE_ACCESS": "open"}
OUTSIDE = ["0.0.0.0", "::", "192.168.1.7", "example.com", "::ffff:10.0.0.1"]  # noqa: S104 - the subject


@pytest.mark.parametrize("host", OUTSIDE)
def test_an_open_real_model_on_an_outside_address_does_not_start(host):
    with pytest.raises(SettingsError, match="XWE_ACCESS") as caught:
        check_exposure(load_settings(OPEN_AND_REAL), ["127.0.0.1", host])
    assert host in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost", "::ffff:127.0.0.1"])
def test_an_open_real_model_on_this_machine_starts(host):
    check_exposure(load_settings(OPEN_AND_REAL), [host])


@pytest.mark.parametrize("environ", [{}, {"DEEPSEEK_API_KEY": "sk-1"}, {"XWE_ACCESS": "open"}])
def test_the_demo_and_a_login_may_be_anywhere(environ):
    check_exposure(load_settings(environ), OUTSIDE)
