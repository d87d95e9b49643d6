"""The table of roles: what each may do, and that more never means less."""

import itertools

import pytest

from gateway.commands.options import ROLES as OFFERED
from gateway.security import Need
from gateway.security.roles import RANKS, ROLES, ClientRole, highest, policy
from gateway.variables import ROLE_NAMES


def test_every_need_has_its_roles() -> None:
    assert ROLES.keys() == {*Need}
    assert [need for need, roles in ROLES.items() if not roles] == []


def test_each_role_may_what_the_one_before_may() -> None:
    for less, more in itertools.pairwise(RANKS):
        assert [need for need, roles in ROLES.items() if less in roles and more not in roles] == []


@pytest.mark.parametrize(
    ("need", "roles"),
    [
        (Need.OPERATOR, "admin"),
        (Need.SERVICE, "service admin"),
        (Need.PROGRAM, "service admin"),
        (Need.KEY, "interviewer service admin"),
        (Need.SESSION, "candidate interviewer service admin"),
    ],
    ids=lambda value: value.name if isinstance(value, Need) else "",
)
def test_who_may_what(need: Need, roles: str) -> None:
    assert ROLES[need] == {ClientRole(name) for name in roles.split()}


def test_the_operator_says_who_may_use_the_services() -> None:
    named = policy("candidate,interviewer")
    assert named[Need.SERVICE] == {ClientRole.CANDIDATE, ClientRole.INTERVIEWER, ClientRole.ADMIN}
    assert {**named, Need.SERVICE: ROLES[Need.SERVICE]} == {**ROLES}


def test_of_several_roles_the_highest_counts() -> None:
    assert highest("candidate") is ClientRole.CANDIDATE
    assert highest("openid service, candidate") is ClientRole.SERVICE
    assert highest(["x", 7, "admin", "candidate"]) is ClientRole.ADMIN
    assert [highest(given) for given in ("", "root", [], {}, None, 7, ["Admin"])] == [None] * 7


def test_the_roles_have_the_same_names_everywhere() -> None:
    assert tuple(RANKS) == ROLE_NAMES == OFFERED
