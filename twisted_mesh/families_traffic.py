"""What clients ask, and what endpoints are asked."""

from __future__ import annotations

from twisted_mesh.metrics import Registry


class TrafficFamilies:
    """The families of listeners and clusters."""

    def _clients(self, registry: Registry) -> None:
        start = "twisted_mesh_downstream_"
        where = ("protocol", "listener")
        route = (*where, "route")
        self.calls = registry.counter(start + "calls_total", "Calls that ended.", (*route, "cluster", "code", "flag"))
        self.calls_active = registry.gauge(start + "calls_active", "Calls in flight.", where)
        self.duration = registry.histogram(
            start + "duration_seconds", "From the first byte of a call to its last.", route
        )
        self.head = registry.histogram(
            start + "head_seconds", "From the first byte of a call to its reply head; for TCP, to connected.", route
        )
        self.received_bytes = registry.counter(start + "received_bytes_total", "Body bytes from clients.", route)
        self.sent_bytes = registry.counter(start + "sent_bytes_total", "Body bytes to clients.", route)
        self.connections = registry.counter(start + "connections_total", "Connections accepted.", where)
        self.connections_active = registry.gauge(start + "connections_active", "Connections open.", where)
        self.connections_refused = registry.counter(
            start + "connections_refused_total", "Connections closed at once, over max_connections.", where
        )
        self.deadlines = registry.counter(
            start + "deadlines_total",
            "Calls whose caller said how long it waits: heeded; fields that say nothing to be read: malformed.",
            ("listener", "result"),
        )
        self.accept_pauses = registry.counter(
            start + "accept_pauses_total", "Pauses of accepting: out of file descriptors or memory.", where
        )

    def _tls(self, registry: Registry) -> None:
        start = "twisted_mesh_downstream_tls_"
        where = ("protocol", "listener")
        self.handshakes = registry.counter(
            start + "handshakes_total", "TLS handshakes that went well, by version.", (*where, "version")
        )
        self.handshake_failures = registry.counter(
            start + "handshake_failures_total",
            "Those that failed: no_certificate, bad_certificate, version, cipher, not_tls, refused (by the client), "
            "closed, timeout, other.",
            (*where, "why"),
        )
        self.certificate_expiry = registry.gauge(
            start + "certificate_expiry_timestamp_seconds",
            "When a certificate ends, by its place in the configuration.",
            (*where, "certificate"),
        )
        self.certificate_reads = registry.counter(
            start + "certificate_reads_total",
            "Times that changed files of certificates were read, by result: taken, refused.",
            (*where, "result"),
        )

    def _redis(self, registry: Registry) -> None:
        start = "twisted_mesh_redis_"
        command = ("listener", "command")
        self.redis_commands = registry.counter(start + "commands_total", "Commands of clients.", command)
        self.redis_errors = registry.counter(start + "errors_total", "Replies that were errors.", command)
        self.redis_duration = registry.histogram(
            start + "duration_seconds", "From the first byte of a command to its reply.", command
        )
        self.redis_coalesced = registry.counter(
            start + "coalesced_total", "Reads that were answered by one that was under way already.", ("chain",)
        )
        self.redis_cached = registry.counter(
            start + "cached_total", "Reads that a cache answered, or could have.", ("chain", "result")
        )
        self.redis_protocol_errors = registry.counter(
            start + "protocol_errors_total", "Clients that sent what is no command.", ("listener",)
        )
        self.redis_stalled = registry.counter(
            start + "stalled_total", "Clients cut off as a large value stood still on its way.", ("listener",)
        )

        start = "twisted_mesh_cluster_"
        self.redis_followed = registry.counter(
            start + "redis_followed_total",
            "Redis commands that were sent again for what a server said: moved, asked, later, to_primary.",
            ("cluster", "why"),
        )
        self.redis_asked = registry.counter(
            start + "redis_asked_total",
            "Times that Redis servers were asked for slots or roles, by result: known, unknown.",
            ("cluster", "result"),
        )

    def _upstream(self, registry: Registry) -> None:
        start = "twisted_mesh_upstream_"
        where = ("protocol", "cluster")
        self.upstream_calls = registry.counter(
            start + "calls_total", "Tries sent to endpoints, by how they ended.", (*where, "code", "flag")
        )
        self.upstream_duration = registry.histogram(
            start + "duration_seconds", "From sending a try to its reply head; for TCP, to connected.", where
        )
        self.upstream_connects = registry.counter(start + "connects_total", "Connections established.", where)
        self.upstream_connect_failures = registry.counter(
            start + "connect_failures_total", "Connections that were refused or unreachable.", where
        )
        self.upstream_connect_timeouts = registry.counter(
            start + "connect_timeouts_total", "Connections that took too long.", where
        )
        self.upstream_retries = registry.counter(start + "retries_total", "Tries after the first.", where)
        self.upstream_retries_exhausted = registry.counter(
            start + "retries_exhausted_total", "Calls that failed with no tries left.", where
        )
        self.upstream_retries_refused = registry.counter(
            start + "retries_refused_total",
            "Tries that the retry budget, or the cluster's limit of retries, had no room for.",
            where,
        )
        self.upstream_hedges = registry.counter(
            start + "hedges_total",
            "Tries that were begun beside one that took long: won, lost (it was faster after all), failed.",
            (*where, "result"),
        )
        self.upstream_overflows = registry.counter(
            start + "overflows_total", "Calls refused: too many waited for room or a connection, or too long.", where
        )
        self.upstream_connections = registry.gauge(
            start + "connections", "Connections by state: active, idle.", (*where, "state")
        )
        self.upstream_pending = registry.gauge(start + "pending", "Calls waiting for a connection.", where)
        self.failovers = registry.counter(
            start + "failovers_total", "Calls that went to another cluster, by the one that was not ready.", where
        )
        mirror = ("route", "cluster", "result")
        self.mirror_calls = registry.counter(
            start + "mirror_calls_total",
            "Calls for a mirror: answered, failed, cut, skipped_body, skipped_busy, skipped_upgrade.",
            mirror,
        )
        self.mirror_compared = registry.counter(
            start + "mirror_compared_total", "Answers of a mirror against the real ones: same, different.", mirror
        )

    def _clusters(self, registry: Registry) -> None:
        start = "twisted_mesh_cluster_"
        self.endpoints = registry.gauge(start + "endpoints", "Endpoints known.", ("cluster",))
        self.endpoints_healthy = registry.gauge(start + "endpoints_healthy", "Endpoints healthy.", ("cluster",))
        self.panic_picks = registry.counter(
            start + "panic_picks_total", "Picks that ignored health, as too few endpoints were healthy.", ("cluster",)
        )
        self.membership_changes = registry.counter(
            start + "membership_changes_total", "Times that the set of endpoints changed.", ("cluster",)
        )
        self.cluster_calls = registry.gauge(
            start + "calls_active", "Calls in flight, where the cluster limits them.", ("cluster",)
        )
        self.cluster_retries = registry.gauge(
            start + "retries_active", "Retries under way, where the cluster limits them.", ("cluster",)
        )
        self.cluster_connections = registry.gauge(
            start + "connections", "Connections open, where the cluster limits them.", ("cluster",)
        )
        self.cluster_waiting = registry.gauge(
            start + "calls_waiting", "Calls that wait for room in their cluster.", ("cluster",)
        )
        self.ejections = registry.counter(
            start + "ejections_total", "Times endpoints were left out: breaker, outlier.", ("cluster", "kind")
        )
        self.ejections_learnt = registry.counter(
            start + "ejections_learnt_total",
            "Those of them that were learnt from other sidecars: breaker, outlier.",
            ("cluster", "kind"),
        )
        self.ejected = registry.gauge(start + "ejected", "Endpoints that are left out.", ("cluster", "kind"))
        self.ejections_refused = registry.counter(
            start + "ejections_refused_total", "Outliers that were kept, as enough others were out.", ("cluster",)
        )
        self.health_checks = registry.counter(
            start + "health_checks_total", "Health checks by result: success, failure, timeout.", ("cluster", "result")
        )
        self.health_changes = registry.counter(
            start + "health_changes_total", "Endpoints that became healthy or unhealthy.", ("cluster", "state")
        )
        self.resolves = registry.counter(
            start + "resolves_total", "Name lookups by result: success, failure.", ("cluster", "result")
        )
        self.suspects = registry.gauge(
            start + "suspects", "Endpoints whose lease ran out, kept as too many did together.", ("cluster",)
        )
        self.kept = registry.gauge(
            start + "kept_endpoints", "Endpoints kept as the registry knows none any more.", ("cluster",)
        )
        self.overridden = registry.gauge(
            start + "overridden", "Endpoints that an admin override is in force for.", ("cluster",)
        )

    def _priorities(self, registry: Registry) -> None:
        start = "twisted_mesh_cluster_"
        where = ("cluster", "priority")
        self.priority_calls = registry.gauge(
            start + "priority_calls_active", "Calls in flight of a priority with limits of its own.", where
        )
        self.priority_waiting = registry.gauge(
            start + "priority_calls_waiting", "Calls of such a priority that wait for room.", where
        )
        self.priority_connections = registry.gauge(
            start + "priority_connections", "Connections open of a priority that has a limit of its own.", where
        )
        self.maintenance_percent = registry.gauge(
            start + "maintenance_percent", "Percentage of the calls that operators turn away.", ("cluster",)
        )
        self.maintenance_refused = registry.counter(
            start + "maintenance_refused_total", "Calls turned away for maintenance.", ("cluster",)
        )
