"""What the demonstration writes: the configurations of its sidecars, the changes that it applies, and its guide."""

from __future__ import annotations

from pathlib import Path
from typing import Mapping

EDGE = """\
# The edge of the demonstration: what clients come to.  It starts the Redis of the mesh as well.
# Change it and save: the sidecar notices by itself, and says so in its log.
mesh: demo
node: {{id: edge}}
redis: embedded://127.0.0.1:{redis}
state: {directory}/state
admin: 127.0.0.1:{admin}
access_log: {{path: "-", format: text}}
drain: {{wait: 0s, limit: 5s}}

listeners:
  web:
    protocol: http
    bind: 127.0.0.1:{http}
    filters:
      - headers: {{response: {{set: {{x-served-by: twisted_mesh}}}}}}
    routes: shop
  echo: {{protocol: tcp, bind: "127.0.0.1:{tcp}", routes: [{{to: echo}}]}}

routes:
  shop:                                 # `meshctl apply` puts another one over it
    - name: hello                       # the sidecar answers this by itself
      match: {{path: /hello}}
      reply: {{status: 200, body: "hello from the mesh\\n"}}
    - name: preview                     # whoever asks for it gets the new version
      match: {{header: {{x-version: v2}}}}
      to: v2
    - to: v1

clusters:
  v1: {{service: web, subset: {{version: v1}}}}     # endpoints from the registry
  v2: {{service: web, subset: {{version: v2}}}}
  echo: {{endpoints: ["127.0.0.1:{echo}"]}}
"""

# One for each version: started by `meshctl run`, with the application behind it.
INSTANCE = """\
# The sidecar of {version}: it registers its application as an instance of `web` while that is well.
mesh: demo
node:
  id: web-{version}
  service: web
  version: {version}
  address: 127.0.0.1
  app: 127.0.0.1:{app}
  health_check: {{http: /healthz, interval: 1s}}
redis: redis://127.0.0.1:{redis}
state: {directory}/state-{version}
admin: {directory}/{version}.sock
access_log: off
drain: {{wait: 200ms, limit: 5s}}

listeners:
  web: {{protocol: http, bind: "127.0.0.1:{port}", routes: [{{to: app}}]}}
clusters:
  app: {{endpoints: ["127.0.0.1:{app}"]}}
"""

# For `meshctl apply`: the same routes with another last one.
SHIFT = """\
# {comment}
select: {{node: edge}}                  # the sidecars of the services have no use for it
routes:
  shop:
    - match: {{path: /hello}}
      reply: {{status: 200, body: "hello from the bus\\n"}}
    - match: {{header: {{x-version: v2}}}}
      to: v2
    - to: {to}
"""
SHIFTS = {
    "half.yaml": ("Half of the calls go to the new version.", "{v1: 50, v2: 50}"),
    "all.yaml": ("All calls go to the new version.", "v2"),
}

# What to try, and what comes of it.
TRIES = (
    ("while sleep 0.2; do curl -s http://127.0.0.1:{http}/; done", "a client: leave it running, in a shell of its own"),
    (
        "export MESHCTL_REDIS=redis://127.0.0.1:{redis} MESHCTL_MESH=demo",
        "in another shell: so that meshctl finds the mesh",
    ),
    ("{meshctl} apply -f {directory}/half.yaml --wait --base {directory}/edge.yaml", "half of the calls go to v2"),
    ("{meshctl} apply -f {directory}/all.yaml --wait --base {directory}/edge.yaml", "all of them do"),
    ("{meshctl} rollback --wait", "and back: half of them"),
    ("{meshctl} delete routes/shop --wait", "the edge's own file again: all of them go to v1"),
    ("{meshctl} status", "what each sidecar makes of the configuration"),
    ("{meshctl} history", "who changed what, when and why"),
    ("{meshctl} endpoints", "the instances of the services"),
    ('curl -H "x-version: v2" http://127.0.0.1:{http}/', "always v2"),
    ("curl -i http://127.0.0.1:{http}/hello", "from the sidecar itself, with the header that a filter sets"),
    ("curl telnet://127.0.0.1:{tcp}", "what you type comes back"),
    ("curl http://127.0.0.1:{admin}/clusters", "the admin: also /listeners /config /metrics /ready"),
    ("kill {v2_pid}", "v2 ends: it leaves the mesh first, and the calls to v1 go on"),
)


def write(directory: Path, ports: Mapping[str, int]) -> None:
    """Write every file into the directory."""
    common = {**ports, "directory": directory}
    (directory / "edge.yaml").write_text(EDGE.format(**common))
    for version in ("v1", "v2"):
        more = {"version": version, "app": ports[version], "port": ports[f"{version}-in"]}
        text = INSTANCE.format(**common, **more).replace("admin: /", "admin: unix:/")
        (directory / f"{version}.yaml").write_text(text)
    for name, (comment, to) in SHIFTS.items():
        (directory / name).write_text(SHIFT.format(comment=comment, to=to))


def guide(directory: Path, ports: Mapping[str, int], meshctl: str, v2_pid: int) -> str:
    """Return what to try."""
    values = {**ports, "directory": directory, "meshctl": meshctl, "v2_pid": v2_pid}
    tries = [(each.format(**values), comes) for each, comes in TRIES]
    width = max(len(each) for each, _ in tries)
    return "\n".join(
        [
            "",
            "A mesh runs: a Redis, a sidecar at the edge, two versions of a service, each behind `meshctl run`.  Try:",
            "",
            *(f"  {each:{width}}   {comes}" for each, comes in tries),
            "",
            f"admin          127.0.0.1:{ports['admin']}",
            f"configuration  {directory}/edge.yaml   change it, save it, and try again",
            f"log            {directory}/mesh.log",
            "",
            "Ctrl-C stops all of it.",
        ]
    )
