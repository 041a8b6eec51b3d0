"""Fixtures of the namespace tests. See lab.py for the picture."""
import os
import shutil
import tempfile

import pytest

import lab as laboratory
import plan as plans

NEEDED = ("ip", "setpriv", "prlimit", "unshare", "openssl", "nginx", "dnsmasq", "unbound", "curl", "dig", "udhcpc", "busybox",
          "ping", "iperf3", "socat", "rdisc6", "dhclient", "traceroute", "wireguard-go", "wg",
          "git", "node", "ssh", "sshd")


def why_not():
    """The reason these tests cannot run here, or None."""
    if os.geteuid() != 0:
        return "network namespaces and TAP devices need root here"
    if not os.path.exists("/dev/net/tun"):
        return "no /dev/net/tun"
    missing = [program for program in NEEDED if not shutil.which(program)]
    if missing:
        return "not installed: " + " ".join(missing)
    return None


def pytest_collection_modifyitems(items):
    items[:] = filter(has_its_family, items)
    reason = why_not()
    if reason:
        for item in items:
            item.add_marker(pytest.mark.skip(reason=reason))


def pytest_sessionfinish(session):
    if why_not() and not session.testsfailed:
        session.exitstatus = 77  # what meson takes for "skipped"


def pytest_report_header():
    return f"weir: {laboratory.WEIR}"


def pytest_configure(config):
    config.addinivalue_line("markers", "families(...): what the test is about exists in these families only")
    config.addinivalue_line("markers", "per_family(names, ipv4=rows, ipv6=rows): parameters that depend on the family")


def pytest_generate_tests(metafunc):
    """Every test that asks for a world runs in one of each family, unless it says otherwise."""
    if "world" not in metafunc.fixturenames:
        return
    metafunc.parametrize("world", plans.FAMILIES, indirect=True, scope="session")
    for rows in metafunc.definition.iter_markers("per_family"):
        names = rows.args[0].split(",")
        cases = [pytest.param(*(row if len(names) > 1 else [row]), marks=pytest.mark.families(family))
                 for family, of_family in rows.kwargs.items() for row in of_family]
        metafunc.parametrize(names, cases)


def has_its_family(item):
    world = item.callspec.params.get("world") if hasattr(item, "callspec") else None
    return not world or all(world in only.args for only in item.iter_markers("families"))


@pytest.fixture(scope="session")
def scratch():
    """A directory that other users may look into, unlike pytest's own."""
    path = tempfile.mkdtemp(prefix="weir-net-")
    os.chmod(path, 0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def world(request, scratch):
    assert os.access(laboratory.WEIR, os.X_OK), f"{laboratory.WEIR} is not built (WEIR= names another)"
    directory = os.path.join(scratch, request.param)
    os.mkdir(directory)
    made = laboratory.World(directory, plans.PLANS[request.param])
    try:
        made.start_servers()
        yield made
    finally:
        made.close()


@pytest.fixture
def plan(world):
    return world.plan


@pytest.fixture
def lab(world, scratch):
    made = laboratory.Lab(world, tempfile.mkdtemp(prefix="test-", dir=scratch))
    yield made
    made.close()


@pytest.fixture
def own_lab(world, scratch):
    """A lab in a world of its own, without the servers that are programs: for what the others must not see."""
    directory = tempfile.mkdtemp(prefix="own-", dir=scratch)
    own = laboratory.World(directory, world.plan)
    made = laboratory.Lab(own, tempfile.mkdtemp(prefix="test-", dir=scratch))
    try:
        yield made
        made.close()
    finally:
        own.close()
