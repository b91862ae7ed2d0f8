"""Prometheus, where it is installed: it reads the metrics of streams and batch from loopback."""

from __future__ import annotations

from stack.extra import Extra
from stack.instance import Instance, render


def _write_config(instance: Instance) -> None:
    folder = instance.conf("prometheus")
    folder.mkdir(parents=True, exist_ok=True)
    host = instance.settings.host
    values = {**instance.values("prometheus"), "metrics_host": host, "grafana_host": host}
    (folder / "prometheus.yml").write_text(render("prometheus/prometheus.yml.j2", values))


PROMETHEUS = Extra(
    name="prometheus",
    title="Prometheus",
    programs=("prometheus",),
    home=lambda _: None,
    to_get="Install it: `apt-get install prometheus` on Debian and Ubuntu (and `systemctl disable --now prometheus`:"
    " the package starts one of its own on the same port), or prometheus.io/download.",
    port="prometheus",
    needs=(),
    prepare=_write_config,
    arguments=lambda instance, _: [
        f"--config.file={instance.conf('prometheus')}/prometheus.yml",
        f"--storage.tsdb.path={instance.data('prometheus')}",
        "--storage.tsdb.retention.time=15d",
        "--storage.tsdb.retention.size=2GB",
        f"--web.listen-address={instance.settings.address('prometheus')}",
    ],
    env=lambda _: {},
    probe="/api/v1/query?query=vector(1)",
)
