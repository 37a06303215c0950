"""Every metric of the mesh, in one place: names, labels and what they mean.

The names are the same for every protocol.  Units are seconds and bytes.  Labels are configured names (listener, route,
cluster, filter), a protocol, the class of a status, or a response flag: never what a client sent.

Whoever counts takes a bundle of cells once (`Families.listener`, `Families.upstream`) and adds to them.  What is only
known when somebody looks (connections open, endpoints healthy) is set by a `Registry.on_collect` hook.
"""

from __future__ import annotations

from twisted_mesh.cells import BusCells, ListenerCells, UpstreamCells
from twisted_mesh.metrics import SHORT_DURATIONS, Registry


class Families:
    """The mesh's families in one registry: there is one for each registry, which every later `Families(registry)` is.

    All that counts asks for them, for every cluster and every route, and making them takes a tenth of a millisecond.
    """

    registry: Registry

    def __new__(cls, registry: Registry) -> Families:
        known = registry.bundles.get(cls)
        if not isinstance(known, cls):
            known = registry.bundles[cls] = super().__new__(cls)
            known._make(registry)
        return known

    def _make(self, registry: Registry) -> None:
        self.registry = registry
        self._downstream(registry)
        self._tls(registry)
        self._upstream(registry)
        self._clusters(registry)
        self._bus(registry)
        self._registered(registry)
        self._process(registry)
        self._overload(registry)

    def _downstream(self, registry: Registry) -> None:
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

    def _bus(self, registry: Registry) -> None:
        start = "twisted_mesh_bus_"
        self.bus_connected = registry.gauge(
            start + "connected", "Whether there is a connection to Redis, by what it is for.", ("link",)
        )
        self.bus_connects = registry.counter(start + "connects_total", "Connections to Redis made.", ("link",))
        self.bus_failures = registry.counter(
            start + "connect_failures_total", "Attempts to connect to Redis that failed.", ("link",)
        )
        self.bus_commands = registry.counter(
            start + "commands_total", "Commands, by result: ok, refused, down, timeout, protocol, busy.", ("result",)
        )
        self.bus_messages = registry.counter(start + "messages_total", "Messages that came.", ("link",))
        self.bus_message_age = registry.gauge(
            start + "last_message_age_seconds", "Since the last message or sign of life on the subscriptions."
        )

        self.bus_config_version = registry.gauge(
            start + "config_version", "The version of the configuration store that was read last."
        )
        self.bus_config_age = registry.gauge(
            start + "config_age_seconds",
            "Since the configuration in force changed, or was found to be as the store has it.",
        )
        self.bus_config_behind = registry.gauge(
            start + "config_behind", "Whether the store has lost what this sidecar has of it."
        )
        self.bus_config_refused = registry.gauge(
            start + "config_refused", "Resources of the store that this sidecar cannot use."
        )
        self.bus_config_reads = registry.counter(
            start + "config_reads_total",
            "Times the store was read, by result: changed, unchanged, behind, failed.",
            ("result",),
        )
        self.bus_config_hints = registry.counter(
            start + "config_hints_total",
            "Messages of the store, by result: new, known (a duplicate, or late), malformed.",
            ("result",),
        )
        self.verdicts = registry.counter(
            start + "verdicts_total",
            "Endpoints left out of which other sidecars were told, by result: sent, failed.",
            ("result",),
        )
        self.bus_reports = registry.counter(
            start + "reports_total", "Reports to the store, by result: sent, failed.", ("result",)
        )

    def _registered(self, registry: Registry) -> None:
        start = "twisted_mesh_bus_"
        self.bus_followed = registry.gauge(
            start + "followed", "Sets of records followed: services, overrides.", ("kind",)
        )
        self.bus_changes = registry.counter(
            start + "changes_total", "Changes taken in, by how they came: message, reading.", ("kind", "by")
        )
        self.bus_gaps = registry.counter(
            start + "gaps_total", "Messages that were missing, so that changes were read.", ("kind",)
        )
        self.bus_refused_records = registry.counter(
            start + "refused_records_total", "Records and messages that could not be read.", ("kind",)
        )
        start = "twisted_mesh_registration_"
        self.registered = registry.gauge(start + "registered", "Whether this sidecar's instance is registered.")
        self.heartbeats = registry.counter(
            start + "heartbeats_total", "Heartbeats by result: renewed, unknown, failed.", ("result",)
        )
        start = "twisted_mesh_cluster_"
        self.suspects = registry.gauge(
            start + "suspects", "Endpoints whose lease ran out, kept as too many did together.", ("cluster",)
        )
        self.kept = registry.gauge(
            start + "kept_endpoints", "Endpoints kept as the registry knows none any more.", ("cluster",)
        )
        self.overridden = registry.gauge(
            start + "overridden", "Endpoints that an admin override is in force for.", ("cluster",)
        )
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

    def _process(self, registry: Registry) -> None:
        start = "twisted_mesh_"
        self.filter_errors = registry.counter(
            start + "filter_errors_total", "Calls that a filter spoilt by raising something unexpected.", ("filter",)
        )
        self.filter_decisions = registry.counter(
            start + "filter_decisions_total",
            "What filters decided, in shadow mode too.",
            ("filter", "mode", "decision"),
        )
        self.rate_limited = registry.counter(
            start + "filter_ratelimit_calls_total",
            "Calls by what a rate limit made of them: admitted, near (a fifth or less is left), refused.",
            ("filter", "result"),
        )
        self.cache_calls = registry.counter(
            start + "filter_cache_calls_total",
            "Calls by what a cache made of them (hit, miss, bypass), and replies (kept, unkept, dropped).",
            ("filter", "result"),
        )
        self.cache_bytes = registry.gauge(
            start + "filter_cache_bytes", "Memory that kept replies take, by estimate.", ("filter",)
        )
        self.coalesced = registry.counter(
            start + "filter_coalesce_calls_total",
            "Calls by what became of them: led (it was sent), joined (it got the reply of one that was), alone.",
            ("filter", "result"),
        )
        self.rate_limit_dropped = registry.counter(
            start + "filter_ratelimit_dropped_total", "Keys forgotten before their time, for want of room.", ("filter",)
        )
        self.rate_limit_asked = registry.counter(
            start + "filter_ratelimit_asked_total",
            "Questions of a shared limit to Redis, by what came of them: granted, partly, none, late, failed.",
            ("filter", "result"),
        )
        self.rate_limit_alone = registry.counter(
            start + "filter_ratelimit_alone_total",
            "Calls that this sidecar's share of a shared limit decided, as Redis was late or away.",
            ("filter",),
        )
        self.rate_limit_sidecars = registry.gauge(
            start + "filter_ratelimit_sidecars", "Sidecars that share a limit, as far as is known.", ("filter",)
        )
        self.faults = registry.counter(
            start + "filter_fault_calls_total",
            "Calls by the fault that was made: delay, abort, bandwidth, skipped (too many at once).",
            ("filter", "result"),
        )
        self.config_version = registry.gauge(start + "config_version", "Snapshots applied since the start.")
        self.config_last_success = registry.gauge(
            start + "config_last_success_timestamp_seconds", "When a configuration was last applied."
        )
        self.config_reloads = registry.counter(
            start + "config_reloads_total", "Reloads by result: applied, unchanged, rejected.", ("result",)
        )
        self.config_rejected = registry.counter(start + "config_rejected_total", "Configurations refused.")
        self.log_lines = registry.counter(start + "access_log_lines_total", "Access log lines written.", ("path",))
        self.log_dropped = registry.counter(
            start + "access_log_dropped_total", "Access log lines lost: the disk was full, stuck or gone.", ("path",)
        )
        self.log_errors = registry.counter(
            start + "access_log_errors_total", "Attempts to open or write a log file that failed.", ("path",)
        )
        self.log_reopens = registry.counter(start + "access_log_reopens_total", "Log files reopened.", ("path",))
        self.ready = registry.gauge(start + "ready", "Whether /ready answers 200.")
        self.info = registry.gauge(
            start + "info", "1; the labels say what runs.", ("version", "node", "service", "zone")
        )
        start += "process_"
        self.process_tasks = registry.gauge(start + "tasks", "Tasks of asyncio that have not ended.")
        self.process_chains = registry.gauge(
            start + "chains",
            "Chains that wait: of calls, and beside them of tries, mirrored copies, trials in shadow mode.",
            ("of",),
        )
        self.process_timers = registry.gauge(
            start + "timers", "Timers that are to come, by the module that they will call.", ("of",)
        )
        self.process_connections = registry.gauge(
            start + "connections", "Connections of clients and to endpoints that are open.", ("side",)
        )
        self.process_descriptors = registry.gauge(start + "descriptors", "File descriptors that are open.")
        self.process_memory = registry.gauge(start + "memory_bytes", "Memory that the process holds.")

    def _overload(self, registry: Registry) -> None:
        start = "twisted_mesh_filter_"
        self.overload_calls = registry.counter(
            start + "overload_calls_total",
            "Calls by what admission, adaptive or shed made of them: admitted, refused.",
            ("filter", "result"),
        )
        self.adaptive_limit = registry.gauge(
            start + "adaptive_limit", "Calls in flight that adaptive allows now.", ("filter",)
        )
        self.adaptive_ideal = registry.gauge(
            start + "adaptive_ideal_seconds", "The latency without a queue that adaptive goes by.", ("filter",)
        )
        self.filter_duration = registry.histogram(
            start + "duration_seconds",
            "Time in a filter itself, of some calls; what is further in is left out.",
            ("filter",),
            SHORT_DURATIONS,
        )
        start, where = "twisted_mesh_cluster_", ("cluster", "priority")
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

    def listener(self, protocol: str, name: str) -> ListenerCells:
        """Return the cells of one listener."""
        return ListenerCells(self, protocol, name)

    def bus(self, link: str) -> BusCells:
        """Return the cells of one connection to Redis: commands, messages or sentinel."""
        return BusCells(self, link)

    def upstream(self, protocol: str, cluster: str) -> UpstreamCells:
        """Return the cells of one cluster as one protocol uses it."""
        return UpstreamCells(self, protocol, cluster)
