"""What comes and goes over the bus."""

from __future__ import annotations

from twisted_mesh.metrics import Registry


class BusFamilies:
    """The families of the bus, and of what is registered there."""

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
