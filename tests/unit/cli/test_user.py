"""`xwe user`, on a database of its own."""

import pytest
from click.testing import CliRunner

from xwe.cli.commands import xwe_command

PASSWORD = "a good password"


@pytest.fixture
def xwe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    environ = {"XWE_DATABASE_URL": f"sqlite:///{tmp_path}/xwe.db"}

    def run(*arguments, said=""):
        return CliRunner().invoke(xwe_command, ["user", *arguments], input=said, env=environ)

    return run


def test_an_operator_makes_lists_and_deletes_accounts(xwe):
    assert xwe("add", "ada", "--admin", said=f"{PASSWORD}\n{PASSWORD}\n").exit_code == 0
    assert xwe("add", "李白", "--password", PASSWORD).exit_code == 0
    listed = [line.split() for line in xwe("list").output.splitlines()]
    assert [(line[1], line[3:]) for line in listed] == [("ada", ["admin"]), ("李白", [])]
    assert xwe("delete", "ada", said="n\n").exit_code == 1
    assert xwe("delete", "ada", "--yes").exit_code == 0
    assert "ada" not in xwe("list").output


def test_a_password_is_changed_and_not_repeated(xwe):
    xwe("add", "ada", "--password", PASSWORD)
    changed = xwe("passwd", "ada", said="another one\nanother one\n")
    assert changed.exit_code == 0
    assert "another one" not in changed.output


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("add", "a", "--password", PASSWORD), "username must have"),
        (("add", "bob", "--password", "short"), "password must have"),
        (("add", "ada", "--password", PASSWORD), "has this name"),
        (("passwd", "nobody", "--password", PASSWORD), "no account 'nobody'"),
        (("delete", "nobody", "--yes"), "no account 'nobody'"),
    ],
    ids=str,
)
def test_what_goes_wrong_is_one_line(xwe, arguments, reason):
    xwe("add", "ada", "--password", PASSWORD)
    failed = xwe(*arguments)
    assert failed.exit_code == 1
    assert failed.output.startswith("xwe: ")
    assert reason in failed.output
    assert len(failed.output.splitlines()) == 1
