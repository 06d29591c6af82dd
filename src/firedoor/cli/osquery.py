"""The lines of a machine's script for osquery: its flags and its secret."""

from urllib.parse import urlsplit

from firedoor.cli.snippets import Own, Target


def osquery_client(signal: str, target: Target, own: Own) -> str:
    """The lines of the script for osquery; empty where the intake speaks no TLS, as osquery does.

    Args:
        signal: The machine's token for the intake.
        target: Where Firedoor is.
        own: The machine's certificate, if it has one.
    """
    intake = urlsplit(target.intake)
    if intake.scheme != "https":
        return ""
    flags = [f"--tls_hostname={intake.hostname}:{intake.port or 443}"]
    if target.ca:
        flags.append("--tls_server_certs=$etc/ca.pem")
    if own.key:
        flags.append("--tls_client_cert=$etc/machine.pem")
        flags.append("--tls_client_key=$etc/machine.key")
    flags += [
        "--enroll_secret_path=$etc/osquery.secret",
        "--enroll_tls_endpoint=/osquery/enroll",
        "--config_plugin=tls",
        "--config_tls_endpoint=/osquery/config",
        "--config_refresh=3600",
        "--logger_plugin=tls",
        "--logger_tls_endpoint=/osquery/log",
        "--logger_tls_period=10",
        "--logger_tls_compress=true",
        "--logger_tls_max_lines=256",
        "--disable_distributed=false",
        "--distributed_plugin=tls",
        "--distributed_interval=60",
        "--distributed_tls_read_endpoint=/osquery/distributed/read",
        "--distributed_tls_write_endpoint=/osquery/distributed/write",
    ]
    return """
# osquery, where it is installed: its logs are signals, and it sends heartbeats by itself. Run it
# with these flags (docs/howto/osquery.md):
#   osqueryd --flagfile=/etc/firedoor/osquery.flags
cat >"$etc/osquery.secret" <<'END'
{signal}
END
cat >"$etc/osquery.flags" <<END
{flags}
END
""".format(signal=signal, flags="\n".join(flags))
