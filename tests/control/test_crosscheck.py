"""What only shows when the parts are seen together."""

from __future__ import annotations

import pytest

from tests.control.test_load import problems_of
from twisted_mesh.control.load import load_text

CLUSTER = "clusters: {web: {endpoints: ['a:1']}}\n"


def test_references_lead_somewhere() -> None:
    text = CLUSTER + "listeners:\n  a: {bind: 'a:1', routes: shop}\n  b: {bind: 'b:1', routes: [{to: wbe}]}\n"
    text += "routes:\n  sho: [{to: {web: 1, wen: 2}}, {to: [{cluster: wet}]}]\n"
    assert problems_of(text) == [
        'f.yaml:3:28: listeners.a.routes: there is no routing table "shop"; did you mean "sho"?',
        'f.yaml:4:34: listeners.b.routes[0].to: there is no cluster "wbe"; did you mean "web"?',
        'f.yaml:6:23: routes.sho[0].to.wen: there is no cluster "wen"; did you mean "web"?',
        'f.yaml:6:49: routes.sho[1].to[0].cluster: there is no cluster "wet"; did you mean "web"?',
    ]


def test_without_clusters_there_are_none() -> None:
    assert problems_of("routes: {a: [{to: b}]}") == [
        'f.yaml:1:19: routes.a[0].to: there is no cluster "b"; there are none'
    ]


def test_an_address_is_taken_once() -> None:
    text = """\
admin: 127.0.0.1:9000
listeners:
  a: {bind: ["127.0.0.1:80", "0.0.0.0:80"], routes: []}
  b: {bind: {address: "localhost:80"}, routes: []}
  c: {bind: "[::]:9000", routes: []}
  d: {bind: "0.0.0.0:9000", routes: []}
  e: {bind: ["127.0.0.1:0", "127.0.0.1:0"], routes: []}
"""
    assert problems_of(text) == [
        "f.yaml:3:30: listeners.a.bind[1]: 0.0.0.0:80 is taken by listeners.a.bind[0] (127.0.0.1:80, f.yaml:3:14)",
        "f.yaml:4:23: listeners.b.bind.address: localhost:80 is taken by listeners.a.bind[0] "
        "(127.0.0.1:80, f.yaml:3:14)",
        "f.yaml:6:13: listeners.d.bind: 0.0.0.0:9000 is taken by admin (127.0.0.1:9000, f.yaml:1:8)",
    ]


def test_the_admin_has_its_address_unasked() -> None:
    assert problems_of("listeners: {a: {bind: '127.0.0.1:9901', routes: []}}") == [
        "f.yaml:1:23: listeners.a.bind: 127.0.0.1:9901 is taken by the admin (127.0.0.1:9901)"
    ]
    load_text("admin: off\nlisteners: {a: {bind: '127.0.0.1:9901', routes: []}}")


def test_names_of_routes_and_endpoints_are_given_once() -> None:
    text = "routes: {a: [{name: x, to: web}, {name: x, to: web}, {to: web}, {to: web}]}\n"
    text += "clusters: {web: {endpoints: ['a:1', {address: 'a:1'}]}}\n"
    assert problems_of(text) == [
        "f.yaml:1:34: routes.a[1]: x is given twice; first at f.yaml:1:14",
        "f.yaml:2:37: clusters.web.endpoints[1]: a:1 is given twice; first at f.yaml:2:30",
    ]


def test_what_means_nothing_for_the_protocol_is_refused() -> None:
    text = (
        CLUSTER
        + """\
listeners:
  db:
    protocol: tcp
    bind: {address: "127.0.0.1:1", mode: 0600}
    http: {trusted_hops: 1}
    filters: [headers]
    routes: shop
  web: {bind: "127.0.0.1:2", routes: shop, tcp: {idle_timeout: 5s}}
routes:
  shop:
    - {to: web, match: {method: GET}, body_limit: 1KiB, upgrade: false, filters: [headers]}
    - {redirect: {path: /}}
    - {reply: {}}
    - {to: [{cluster: web, headers: {set: {x: y}}}], retry: {when: [reset, 5xx]}}
    - {to: web, timeout: 5s, idle_timeout: 5s, max_duration: 5s, retry: off}
"""
    )
    used = "means nothing for tcp listeners (listener db uses this route)"
    assert problems_of(text) == [
        "f.yaml:5:42: listeners.db.bind.mode: means something for unix sockets only",
        "f.yaml:6:11: listeners.db.http: means nothing for tcp listeners",
        "f.yaml:7:15: listeners.db.filters[0]: the filter headers is for http, not for tcp",
        "f.yaml:9:49: listeners.web.tcp: means nothing for http listeners",
        f"f.yaml:12:33: routes.shop[0].match.method: {used}",
        f"f.yaml:12:51: routes.shop[0].body_limit: {used}",
        f"f.yaml:12:66: routes.shop[0].upgrade: {used}",
        "f.yaml:12:83: routes.shop[0].filters[0]: the filter headers is for http, not for tcp "
        "(listener db uses this route)",
        f"f.yaml:13:18: routes.shop[1].redirect: {used}",
        f"f.yaml:14:15: routes.shop[2].reply: {used}",
        f"f.yaml:15:37: routes.shop[3].to[0].headers: {used}",
        f"f.yaml:15:76: routes.shop[3].retry.when[1]: 5xx {used}",
    ]


def test_conditions_for_other_protocols_are_refused() -> None:
    text = (
        CLUSTER
        + """\
listeners:
  web: {bind: "127.0.0.1:2", routes: [{to: web, match: {port: 80}}, {to: web, match: {key: a}}]}
  db: {protocol: tcp, bind: "127.0.0.1:3", routes: [{to: web, match: {port: 3}}, {to: web, match: {command: GET}}]}
"""
    )
    assert [each.partition(": ")[2] for each in problems_of(text)] == [
        "listeners.web.routes[0].match.port: means nothing for http listeners",
        "listeners.web.routes[1].match.key: means nothing for http listeners",
        "listeners.db.routes[1].match.command: means nothing for tcp listeners",
    ]


def test_what_a_split_is_sticky_by_is_a_matter_of_the_protocol() -> None:
    split = "to: {web: 1}, sticky: "
    text = (
        CLUSTER
        + f"""\
listeners:
  web: {{bind: "127.0.0.1:2", routes: [{{{split}[source, host, path, {{cookie: a}}]}}, {{{split}key}}]}}
  db: {{protocol: tcp, bind: "127.0.0.1:3", routes: [{{{split}[source, path, key, {{cookie: a}}]}}]}}
  cache: {{protocol: redis, bind: "127.0.0.1:4", routes: [{{{split}[source, path, key, host, {{cookie: a}}]}}]}}
"""
    )
    assert [each.partition(": ")[2] for each in problems_of(text)] == [
        "listeners.web.routes[1].sticky: means nothing for http listeners",
        "listeners.db.routes[0].sticky[1]: means nothing for tcp listeners",
        "listeners.db.routes[0].sticky[2]: means nothing for tcp listeners",
        "listeners.db.routes[0].sticky[3]: means nothing for tcp listeners",
        "listeners.cache.routes[0].sticky[3]: means nothing for redis listeners",
        "listeners.cache.routes[0].sticky[4]: means nothing for redis listeners",
    ]


def test_what_is_tried_again_after_is_a_matter_of_the_protocol() -> None:
    text = (
        CLUSTER
        + """\
listeners:
  web: {bind: "127.0.0.1:2", routes: [{to: web, retry: {when: [reset, 5xx, 429, loading]}}]}
  db: {protocol: tcp, bind: "127.0.0.1:3", routes: [{to: web, deadline: always, retry: {when: [429, reset]}}]}
  cache: {protocol: redis, bind: "127.0.0.1:4", routes: [{to: web, retry: {when: [reset, read_only, 5xx]}}]}
"""
    )
    assert [each.partition(": ")[2] for each in problems_of(text)] == [
        "listeners.web.routes[0].retry.when[3]: loading means nothing for http listeners",
        "listeners.db.routes[0].deadline: means nothing for tcp listeners",
        "listeners.db.routes[0].retry.when[0]: 429 means nothing for tcp listeners",
        "listeners.cache.routes[0].retry.when[2]: 5xx means nothing for redis listeners",
    ]


def test_a_redis_route_has_no_time_for_bodies() -> None:
    text = (
        CLUSTER
        + """\
listeners:
  cache: {protocol: redis, bind: "127.0.0.1:2", routes: [{to: web, timeout: 5s, idle_timeout: 5s, max_duration: 5s}]}
"""
    )
    assert [each.partition(": ")[2] for each in problems_of(text)] == [
        "listeners.cache.routes[0].idle_timeout: means nothing for redis listeners",
        "listeners.cache.routes[0].max_duration: means nothing for redis listeners",
    ]


def test_routes_of_other_listeners_of_a_table_may_be_of_another_protocol() -> None:
    load_text(
        CLUSTER
        + """\
listeners:
  db: {protocol: tcp, bind: "127.0.0.1:1", routes: shop}
  web: {bind: "127.0.0.1:2", routes: shop}
routes:
  shop:
    - {to: web, match: {path: /a, listener: web}}
    - {to: web, match: {source: [10.0.0.0/8, unix], percent: 50, identity: a}}
"""
    )


def test_a_route_of_a_listeners_own_list_for_another_listener_never_matches() -> None:
    text = (
        CLUSTER
        + """\
listeners:
  web: {bind: "127.0.0.1:2", routes: [{to: web, match: {listener: wbe}}, {to: web, match: {listener: web}}]}
"""
    )
    assert problems_of(text) == [
        "f.yaml:3:67: listeners.web.routes[0].match.listener: only the listener web has this list, so the route would "
        "never match"
    ]


def test_a_default_says_nothing() -> None:
    load_text("listeners: {a: {bind: 'a:1', routes: [], protocol: tcp, http: {trusted_hops: 0}}}")


@pytest.mark.parametrize(
    ("log", "what"),
    [("{format: '%FOO%'}", "no field %FOO%"), ("{format: plain}", ""), ("{format: '50 % %ID%'}", "")],
)
def test_a_format_of_the_access_log_can_be_made(log: str, what: str) -> None:
    text = f"access_log: {log}\nlisteners: {{a: {{bind: 'a:1', routes: [], access_log: {log}}}}}"
    lines = problems_of(text)
    assert [each.split(": ")[:2] for each in lines] == [
        ["f.yaml:1:22", "access_log.format"],
        ["f.yaml:2:63", "listeners.a.access_log.format"],
    ]
    assert all(what in each for each in lines)


def test_a_refused_route_has_no_more_problems() -> None:
    """What stands in its place while the rest is checked is not talked about."""
    text = CLUSTER + "listeners: {a: {bind: 'a:1', protocol: tcp, routes: [{to: web, timeout: 5}]}}"
    assert len(problems_of(text)) == 1


def test_a_refused_table_is_there() -> None:
    text = CLUSTER + "listeners: {a: {bind: 'a:1', routes: shop}}\nroutes: {shop: {}}\n"
    assert problems_of(text) == ["f.yaml:3:16: routes.shop: expected a list, got a mapping"]


def test_replies_for_one_client_are_not_for_another() -> None:
    text = "clusters: {a: {endpoints: ['a:1']}}\nlisteners:\n"
    text += "  x: {protocol: redis, bind: 'a:1', filters: [coalesce_reads], routes: [{match: {source: 10.0.0.0/8}, to: a}]}\n"
    text += "  y: {protocol: redis, bind: 'a:2', filters: [coalesce_reads], routes: [{to: a}]}\n"
    text += (
        "  z: {protocol: redis, bind: 'a:3', routes: [{to: a, filters: [tracked_cache, key_prefix: {prefix: 'x:'}]}]}\n"
    )
    text += (
        "  k: {protocol: redis, bind: 'a:4', routes: [{to: a, filters: [key_prefix: {prefix: 'x:'}, tracked_cache]}]}\n"
    )
    assert problems_of(text) == [
        "f.yaml:3:47: listeners.x.filters[0]: coalesce_reads would give clients the replies to others, which a route may "
        "tell apart by source or port; it is for the routes themselves",
        "f.yaml:5:64: listeners.z.routes[0].filters[0]: tracked_cache has to stand behind key_prefix, or it takes keys "
        "for others",
    ]


@pytest.mark.parametrize(
    ("protocol", "use", "where"),
    [
        ("tcp", "fault: {abort: {}, method: GET, header: {x: y}}", ["fault.method", "fault.header"]),
        ("redis", "fault: {bandwidth: {rate: 1KiB}, method: GET}", ["fault.bandwidth"]),
        ("redis", "fault: {delay: {time: 1s}, by_caller: true}", ["fault.by_caller"]),
        ("redis", "fault: {abort: {status: 500}}", ["fault.abort.status"]),
        ("tcp", "fault: {abort: {status: 500}}", ["fault.abort.status"]),
        ("redis", "fault: {abort: {percent: 5}}", []),
        ("http", "fault: {abort: {status: 500}}", []),
        ("tcp", "ratelimit: {rate: 1/s, key: [source, path]}", ["ratelimit.key"]),
        ("tcp", "ratelimit: {rate: 1/s, headers: true}", ["ratelimit.headers"]),
        ("redis", "ratelimit: {rate: 1/s, key: ['header:x-user']}", ["ratelimit.key"]),
        ("redis", "ratelimit: {rate: 1/s, key: [key, command, 'prefix::', source]}", []),
        ("http", "ratelimit: {rate: 1/s, key: ['header:x-user', host], headers: true}", []),
        ("http", "fault: {abort: {}, header: {x: y}, method: GET, by_caller: true}", []),
        ("tcp", "fault: {abort: {}, method: GET, mode: off}", []),
    ],
)
def test_filters_say_which_of_their_settings_mean_nothing_for_a_protocol(
    protocol: str, use: str, where: list[str]
) -> None:
    use = use.replace("method: GET", "method: [GET]")
    text = (
        f"{CLUSTER}listeners: {{a: {{protocol: {protocol}, bind: 'a:1', filters: [{{{use}}}], routes: [{{to: web}}]}}}}"
    )
    if not where:
        load_text(text)
        return
    assert [each.partition(": ")[2] for each in problems_of(text)] == [
        f"listeners.a.filters[0].{each}: means nothing for {protocol} listeners" for each in where
    ]


@pytest.mark.parametrize(
    ("prefix", "second", "wrong"),
    [
        ("%IDENTITY%", "anna", True),
        ("%IDENTITY%:", "ann:a", True),
        ("%IDENTITY%:", "anna", False),
        ("t:%IDENTITY%", "bob", False),
        ("t:", "anna", False),
    ],
)
def test_tenants_have_keys_of_their_own(prefix: str, second: str, wrong: bool) -> None:
    users = ", ".join(f"{{name: '{each}', passwords: 'sha256:{'0' * 64}'}}" for each in ("ann", second))
    text = "clusters: {a: {endpoints: ['a:1']}}\n"
    text += f"listeners: {{x: {{protocol: redis, bind: 'a:1', redis: {{users: [{users}]}},\n"
    text += f"  filters: [key_prefix: {{prefix: '{prefix}'}}], routes: [{{to: a}}]}}}}\n"
    said = f"f.yaml:3:13: listeners.x.filters[0]: key_prefix: the keys of {second} would begin as those of ann do, who would "
    said += "see and change them; end it with what is in no name, as %IDENTITY%:"
    assert (problems_of(text) if wrong else load_text(text) and []) == ([said] if wrong else [])
