"""Servers that are not ours: where they are not installed that is said; where they are, they run and stop for real."""

from __future__ import annotations

import ast
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from pydantic import SecretStr

from meterlake.clock import system_clock
from meterlake.orchestration import all_dags
from meterlake.settings import Settings
from speed_layer.metrics import Metrics
from stack import doctor, extra
from stack.errors import PortBusy, StartFailed
from stack.extra import Extra, NotInstalled
from stack.instance import Instance
from stack.runtime import environments
from stack.services import EXTRAS, split_extras
from stack.services import superset as superset_service
from stack.services.grafana import PluginsMissing, password_file
from stack.wrapped import AND, THEN

pytestmark = pytest.mark.unit

SERVER = """#!{python}
import http.server, sys
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.SimpleHTTPRequestHandler).serve_forever()
"""


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return Instance(Settings(home=tmp_path / "home", port_grafana=port, port_offset=0))


@pytest.fixture
def server(tmp_path: Path) -> Extra:
    """A small HTTP server as an executable of its own."""
    program = tmp_path / "bin" / "little-server"
    program.parent.mkdir()
    program.write_text(SERVER.format(python=sys.executable))
    program.chmod(0o755)
    return replace(
        EXTRAS["grafana"],
        name="little",
        title="Little",
        programs=(program.name,),
        home=lambda _: tmp_path,
        prepare=lambda _: None,
        arguments=lambda at, _: [str(at.settings.port_grafana)],
        env=lambda _: {},
        probe="/",
    )


def test_what_is_not_installed_is_said_with_the_way_to_get_it(instance: Instance) -> None:
    absent = replace(EXTRAS["grafana"], programs=("no-such-program",))
    with pytest.raises(NotInstalled, match="no no-such-program on the PATH") as caught:
        extra.up(absent, instance)
    assert "METERLAKE_GRAFANA_HOME" in caught.value.hint
    assert "Everything else works" in caught.value.hint


def test_it_starts_once_and_stops_with_its_child(server: Extra, instance: Instance) -> None:
    url = extra.up(server, instance)
    first = extra.running(server, instance)
    assert first is not None
    assert extra.healthy(server, instance)
    assert extra.up(server, instance) == url
    assert extra.running(server, instance) == first
    (child,) = first.children()
    assert extra.down(server, instance)
    assert extra.running(server, instance) is None
    assert ended(child)
    assert not extra.down(server, instance)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux ends the child")
def test_a_killed_wrapper_leaves_nothing_behind(server: Extra, instance: Instance) -> None:
    extra.up(server, instance)
    result = extra.running(server, instance)
    assert result is not None
    (child,) = result.children()
    os.kill(result.pid, signal.SIGKILL)
    gone, _ = psutil.wait_procs([child], timeout=10)
    assert gone == [child]


@pytest.mark.skipif(sys.platform != "linux", reason="the environment of processes is read from /proc")
def test_what_a_server_has_started_is_stopped_with_it_in_whatever_session_it_is(
    server: Extra, instance: Instance, tmp_path: Path
) -> None:
    """Also what nobody is the parent of any more, and what a killed wrapper has left when it is started again."""
    note = tmp_path / "pid"
    program = tmp_path / "bin" / "little-server"
    start = f"subprocess.Popen(['sh', '-c', 'setsid sleep 600 & echo $! > {note}']).wait()"
    program.write_text(
        program.read_text().replace("import http.server, sys", f"import http.server, sys, subprocess\n{start}")
    )
    extra.up(server, instance)
    first = psutil.Process(int(note.read_text()))
    wrapper = extra.running(server, instance)
    assert wrapper is not None
    assert first.pid not in {child.pid for child in wrapper.children(recursive=True)}
    os.kill(wrapper.pid, signal.SIGKILL)
    psutil.wait_procs([wrapper], timeout=10)
    extra.up(server, instance)
    assert ended(first)
    second = psutil.Process(int(note.read_text()))
    assert not ended(second)
    assert extra.down(server, instance)
    assert ended(second)


def ended(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def wrapped(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "stack.wrapped", "--tag", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_programs_run_one_after_the_other_and_side_by_side() -> None:
    done = wrapped("echo", "1", THEN, "sh", "-c", "echo 2; exit 3", AND, "sleep", "600")
    assert (done.stdout, done.returncode) == ("1\n2\n", 3)  # the sleeper is ended with the other
    done = wrapped("sh", "-c", "exit 4", THEN, "echo", "never")
    assert (done.stdout, done.returncode) == ("", 4)
    assert wrapped("true", THEN, "true").returncode == 0


def test_airflow_runs_its_parts_on_loopback_with_a_password_of_its_own(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_HALF_HOURLY_FILES", "/inbox")
    monkeypatch.setenv("AIRFLOW__CORE__PARALLELISM", "3")
    monkeypatch.setenv("AIRFLOW_HOME", "/that/of/another")
    monkeypatch.setenv("METERLAKE_HOME", "/elsewhere")
    airflow = EXTRAS["airflow"]
    airflow.prepare(instance)
    environment = airflow.env(instance)
    folder = Path(environment["AIRFLOW__CORE__DAGS_FOLDER"])
    assert {path.stem for path in folder.iterdir()} == {dag.name for dag in all_dags()}
    assert (Path(environment["AIRFLOW__CORE__PLUGINS_FOLDER"]) / "meterlake_flow.py").is_file()
    passwords = Path(environment["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"])
    assert len(json.loads(passwords.read_text())["admin"]) >= 32
    assert passwords.stat().st_mode & 0o077 == 0
    assert Path(environment["AIRFLOW_HOME"]).stat().st_mode & 0o077 == 0
    assert (environment["AIRFLOW__API__HOST"], environment["AIRFLOW__API__PORT"]) == ("127.0.0.1", "8090")
    # Tasks find our command, and the stack that Airflow belongs to.
    assert Path(environment["PATH"].split(os.pathsep)[0]) == Path(sys.executable).parent
    assert environment["METERLAKE_HOME"] == str(instance.home)
    assert environment["AIRFLOW_VAR_HALF_HOURLY_FILES"] == "/inbox"
    assert environment["AIRFLOW__CORE__PARALLELISM"] == "3"
    assert environment["AIRFLOW_HOME"] == str(instance.data("airflow"))
    words = airflow.arguments(instance, Path("/x/airflow"))
    assert " ".join(words) == (
        "db migrate --then /x/airflow scheduler --skip-serve-logs --and /x/airflow dag-processor"
        " --and /x/airflow triggerer --skip-serve-logs --and /x/airflow api-server"
    )


@pytest.mark.parametrize(
    ("late", "works"), [("", True), ("scheduler", False), ("dag_processor", False), ("metadatabase", False)]
)
def test_airflow_is_healthy_when_each_part_has_done_work(late: str, works: bool) -> None:
    parts = {name: {"status": "healthy"} for name in ("metadatabase", "scheduler", "dag_processor", "triggerer")}
    answer = requests.Response()
    answer.raw = io.BytesIO(json.dumps(parts | ({late: {"status": "unhealthy"}} if late else {})).encode())
    assert EXTRAS["airflow"].works(Instance(Settings()), answer) is works


def test_superset_gets_this_stacks_trino_and_an_administrator_by_setting(tmp_path: Path) -> None:
    at = Instance(Settings(home=tmp_path, port_offset=100, superset_user="boss", superset_password=SecretStr('p"w')))
    superset = EXTRAS["superset"]
    superset.prepare(at)
    conf = at.conf("superset")
    prepared = ast.parse((conf / "prepare.py").read_text())
    words = {node.value for node in ast.walk(prepared) if isinstance(node, ast.Constant)}
    user = at.settings.user("trino")
    assert {"boss", 'p"w', f"trino://{user}@127.0.0.1:8180/lake"} <= words
    config: dict[str, Any] = {}
    exec((conf / "superset_config.py").read_text(), config)  # noqa: S102 - what Superset does with it
    assert config["SQLALCHEMY_DATABASE_URI"].startswith(f"sqlite:///{at.data('superset')}/")
    assert len(config["SECRET_KEY"]) >= 32
    assert all(file.stat().st_mode & 0o077 == 0 for file in conf.iterdir())
    # It stays the same from one start to the next: sessions and stored passwords are made with it.
    superset.prepare(at)
    assert config["SECRET_KEY"] in (conf / "superset_config.py").read_text()
    line = " ".join(superset.arguments(at, Path("/x/superset")))
    assert line.startswith(f"db upgrade --then /x/python {conf}/prepare.py --then /x/gunicorn ")
    assert "--bind 127.0.0.1:8188 superset.app:create_app()" in line
    assert 'p"w' not in line
    made = Instance(Settings(home=tmp_path / "other"))
    assert superset_service.password(made) == superset_service.password(made) != superset_service.password(at)


def test_superset_reaches_a_trino_of_others_by_its_certificates(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.touch()
    given = {"trino_url": "https://trino.example.org", "trino_user": "viewer", "trino_ca": ca}
    result = superset_service.trino(Settings(trino_password=SecretStr("a@b"), **given))
    assert result["url"] == "trino://viewer:a%40b@trino.example.org:443/lake"
    arguments = json.loads(result["extra"])["engine_params"]["connect_args"]
    assert arguments == {"http_scheme": "https", "source": "superset", "verify": str(ca)}


@pytest.mark.parametrize("name", environments.names())
def test_environments_are_pinned_with_hashes(name: str) -> None:
    asked = [line for line in (environments.FOLDER / f"{name}.in").read_text().splitlines() if not line.startswith("#")]
    locked = (environments.FOLDER / f"{name}.lock").read_text()
    pins = {line.split("==")[0]: line for line in locked.splitlines() if not line.startswith((" ", "#"))}
    for requirement in map(Requirement, asked):
        version = pins[canonicalize_name(requirement.name)].split("==")[1].split()[0]
        assert version in requirement.specifier
    assert locked.count("--hash=sha256:") >= len(pins)
    assert name in environments.BYTES
    assert environments.folder(name, Settings(cache_dir=Path("/cache"))).parent == Path("/cache/python")


def test_a_taken_port_is_said_first(server: Extra, instance: Instance) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", instance.settings.port_grafana))
        holder.listen()
        with pytest.raises(PortBusy, match="is held by"):
            extra.up(server, instance)


def test_one_that_ends_is_shown_with_its_last_words(server: Extra, instance: Instance) -> None:
    broken = replace(server, arguments=lambda *_: ["not-a-port"])
    begin = time.monotonic()
    with pytest.raises(StartFailed, match="invalid literal for int"):
        extra.up(broken, instance)
    assert time.monotonic() - begin < instance.settings.stall_timeout.total_seconds()


def test_grafana_gets_this_stacks_addresses_and_a_password_of_its_own(instance: Instance) -> None:
    grafana = EXTRAS["grafana"]
    grafana.prepare(instance)
    folder = instance.conf("grafana") / "provisioning"
    document = yaml.safe_load((folder / "datasources/meterlake.yaml").read_text())
    assert {source["uid"]: source["url"] for source in document["datasources"]} == {
        "meterlake-trino": "http://127.0.0.1:8080",
        "meterlake-cassandra": "127.0.0.1:9042",
        "meterlake-prometheus": "http://127.0.0.1:9090",
    }
    environment = grafana.env(instance)
    assert environment["GF_SECURITY_ADMIN_PASSWORD"] == password_file(instance).read_text()
    assert password_file(instance).stat().st_mode & 0o077 == 0
    # Every variable of the provisioning is given.
    asked = {word for file in folder.rglob("*.yaml") for word in _variables(file.read_text())}
    assert asked <= environment.keys()


def test_extras_bring_what_they_read_from() -> None:
    assert split_extras(["grafana", "kafka"]) == (["kafka", "trino", "cassandra"], [EXTRAS["grafana"]])
    assert split_extras([]) == ([], [])


def _variables(text: str) -> list[str]:
    import re

    return re.findall(r"(?<!\$)\$([A-Z][A-Z0-9_]+)", text)


def plugin(folder: Path, name: str, inside: str = "") -> None:
    """Unpack a plugin, as its archive would."""
    place = folder / name / inside
    place.mkdir(parents=True)
    (place / "plugin.json").write_text(json.dumps({"id": name, "type": "datasource"}))


def test_nothing_is_fetched_where_both_plugins_are_in_the_folder_that_is_set(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", grafana_plugins=tmp_path / "plugins")
    plugin(tmp_path / "plugins", "trino-datasource", "dist")
    plugin(tmp_path / "plugins", "hadesarchitect-cassandra-datasource")
    grafana = EXTRAS["grafana"]
    grafana.prepare(Instance(settings))
    env = grafana.env(Instance(settings))
    assert env["GF_PATHS_PLUGINS"] == str(tmp_path / "plugins")
    assert env["GF_PLUGINS_PREINSTALL_DISABLED"] == "true"
    assert "GF_PLUGINS_PREINSTALL_SYNC" not in env


def test_a_folder_without_a_plugin_is_named_with_what_is_missing_and_where_it_is(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", grafana_plugins=tmp_path / "plugins")
    plugin(tmp_path / "plugins", "trino-datasource")
    with pytest.raises(PluginsMissing, match=r"does not hold hadesarchitect-cassandra-datasource\.") as caught:
        EXTRAS["grafana"].prepare(Instance(settings))
    assert "/hadesarchitect-cassandra-datasource/versions/3.3.0/download" in caught.value.hint
    assert "trino-datasource" not in caught.value.hint


def test_plugins_that_an_earlier_start_has_fetched_are_not_fetched_again(tmp_path: Path) -> None:
    at = Instance(Settings(home=tmp_path / "home"))
    wanted = "hadesarchitect-cassandra-datasource@3.3.0,trino-datasource@1.1.1"
    assert EXTRAS["grafana"].env(at)["GF_PLUGINS_PREINSTALL_SYNC"] == wanted
    for name in ("hadesarchitect-cassandra-datasource", "trino-datasource"):
        plugin(at.data("grafana") / "plugins", name)
    assert "GF_PLUGINS_PREINSTALL_SYNC" not in EXTRAS["grafana"].env(at)


def test_alerts_lead_to_the_runbooks_under_the_address_that_is_set(tmp_path: Path) -> None:
    at = Instance(Settings(home=tmp_path / "home", runbooks_url="https://wiki.example.org/runbooks/"))
    EXTRAS["grafana"].prepare(at)
    file = at.conf("grafana") / "provisioning" / "alerting" / "rules.yaml"
    rules = [rule for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]]
    links = {rule["uid"]: rule["annotations"]["runbook_url"] for rule in rules}
    assert links["meterlake-rejects"] == "https://wiki.example.org/runbooks/rejects.md"
    assert all(link.startswith("https://wiki.example.org/runbooks/") for link in links.values())
    assert all("runbook" not in rule["annotations"] for rule in rules)


def test_doctor_says_how_to_come_by_what_is_not_there(tmp_path: Path) -> None:
    findings = {result.what: result for result in doctor.examine(Instance(Settings(home=tmp_path / "home")), [])}
    for title in ("Prometheus", "Grafana"):
        result = findings[title]
        assert result.state in {"ok", "note"}
        assert ("meterlake up" in result.found) == (result.state == "ok")
    assert "apt-get install prometheus" in EXTRAS["prometheus"].to_get


@pytest.mark.skipif(not shutil.which("prometheus"), reason="needs the program prometheus on the PATH")
def test_prometheus_reads_the_metrics_of_a_stream(tmp_path: Path) -> None:
    """The real server, the real endpoint of the streams' metrics, at the port that its configuration names."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    at = Instance(Settings(home=tmp_path / "home", port_prometheus=port, port_offset=0))
    metrics = Metrics("household", system_clock)
    stop = metrics.serve(9464)
    url = extra.up(EXTRAS["prometheus"], at)
    try:
        question = {"query": 'up{job="meterlake-stream"}'}
        until = time.monotonic() + 60
        value = None  # its first scrape comes within 15 s
        while value != "1" and time.monotonic() < until:
            answer = requests.get(f"{url}/api/v1/query", params=question, timeout=5).json()["data"]["result"]
            value = answer[0]["value"][1] if answer else None
        assert value == "1"
    finally:
        stop()
        assert extra.down(EXTRAS["prometheus"], at)
