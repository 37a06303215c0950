"""The sidecar itself: its filters, its configuration, its process."""

from __future__ import annotations

from twisted_mesh.metrics import SHORT_DURATIONS, Registry


class ProcessFamilies:
    """The families of what a sidecar consists of."""

    def _filters(self, registry: Registry) -> None:
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

    def _process(self, registry: Registry) -> None:
        start = "twisted_mesh_"
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

        start = "twisted_mesh_process_"
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
