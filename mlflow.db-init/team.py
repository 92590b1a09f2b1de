# SPDX-License-Identifier: Apache-2.0
"""The team's store without containers: PostgreSQL and an MLflow server in front of it, both on this machine alone.

    python mlflow.db-init/team.py start FOLDER [PORT]
    python mlflow.db-init/team.py stop FOLDER
    python mlflow.db-init/team.py status FOLDER

FOLDER holds all of it: `postgres/` (the database), `artifacts/`, `server.env` (the passwords, made at the first start,
readable by you alone) and logs. It is what compose.yaml starts, from the same files. PostgreSQL does not run as root:
said by root, it runs as the user `postgres`.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence

HERE = pathlib.Path(__file__).resolve().parent
SECRETS = (
    "GDZOO_RW_PASSWORD",
    "GDZOO_RO_PASSWORD",
    "POSTGRES_PASSWORD",
    "MLFLOW_FLASK_SERVER_SECRET_KEY",
    "MLFLOW_AUTH_ADMIN_PASSWORD",
)
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
MANY = "-c max_connections=300"
"""A writer has one connection and now and then a second; 100, as PostgreSQL comes, are few for 64 writers."""

PATIENCE = 120.0
MAX_SOCKET = 100
"""Most characters of the path of a Unix socket, about."""


class TeamError(Exception):
    """It cannot be started or stopped; the message says why and what to do."""


def start(folder: pathlib.Path, port: int) -> dict[str, str]:
    """Starts both where they do not run, and returns the environment that a member of the team needs.

    Raises:
        TeamError: PostgreSQL is not installed, a port is taken, or one of them does not come up.
    """
    made = folder / "server.env"
    folder.mkdir(parents=True, exist_ok=True)
    if not made.exists():
        lines = [f"{name}={secrets.token_urlsafe(24)}\n" for name in SECRETS]
        _private(made, "".join([*lines, f"GDZOO_DATABASE_PORT={_free_port()}\n", f"GDZOO_SERVER_PORT={port}\n"]))
    known = environment(folder)
    _start_database(folder, known)
    store = uri(known, "rw")
    words = [sys.executable, str(HERE / "init_db.py"), "schema"]
    _said(words, "the tables cannot be made", {"MLFLOW_TRACKING_URI": store})  # others see words, not the environment
    _start_server(folder, known, store)
    login = {
        "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{known['GDZOO_SERVER_PORT']}",
        "MLFLOW_TRACKING_USERNAME": "admin",
        "MLFLOW_TRACKING_PASSWORD": known["MLFLOW_AUTH_ADMIN_PASSWORD"],
    }
    words = [sys.executable, str(HERE / "init_db.py"), "init"]
    _said(words, "the experiments cannot be made", login)
    return login


def stop(folder: pathlib.Path) -> None:
    """Stops both, where they run; what was committed stays."""
    if (server := _server(folder)) is not None:
        os.killpg(server, signal.SIGTERM)
        _until(lambda: _server(folder) is None, "the server does not stop")
    if _database_runs(folder):
        _pg(folder, "pg_ctl", "stop", "-D", folder / "postgres", "-m", "fast", "-w")


def status(folder: pathlib.Path) -> dict[str, bool]:
    """Says which of the two run."""
    return {"database": _database_runs(folder), "server": _server(folder) is not None}


def environment(folder: pathlib.Path) -> dict[str, str]:
    """Returns what server.env holds."""
    lines = (folder / "server.env").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def uri(known: Mapping[str, str], role: str) -> str:
    """Returns the address of the database for the role `rw` or `ro`, its password in it."""
    password = known[f"GDZOO_{role.upper()}_PASSWORD"]
    return f"postgresql+psycopg://gdzoo_{role}:{password}@127.0.0.1:{known['GDZOO_DATABASE_PORT']}/gdzoo"


def start_postgres(folder: pathlib.Path, port: int) -> None:
    """Starts PostgreSQL on data in `folder`/postgres, which is made if it is missing, on a loopback port and a socket.

    Raises:
        TeamError: It is not installed, or does not come up.
    """
    data = folder / "postgres"
    if len(str(data)) > MAX_SOCKET:
        raise TeamError(f"the path {data} is too long for a Unix socket; name a shorter folder")
    if not data.exists():
        data.mkdir(mode=0o700)
        if os.getuid() == 0:
            shutil.chown(data, "postgres", "postgres")
        # The system user that runs it is its superuser, through the socket alone; everybody else has a password.
        words = ("-D", data, "--auth-local=peer", "--auth-host=scram-sha-256", "--encoding=UTF8", "--no-locale")
        _pg(folder, "initdb", *words)
    if not _database_runs(folder):
        options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories='{data}' {MANY}"
        _pg(folder, "pg_ctl", "start", "-D", data, "-l", data / "log", "-o", options, "-w")


def psql(folder: pathlib.Path, port: int, *words: str, known: Mapping[str, str] | None = None) -> str:
    """Runs psql as the superuser and returns what it prints."""
    return _pg(
        folder, "psql", "-X", "-q", "-h", folder / "postgres", "-p", str(port), "-d", "postgres", *words, known=known
    )


def _start_database(folder: pathlib.Path, known: Mapping[str, str]) -> None:
    port = int(known["GDZOO_DATABASE_PORT"])
    start_postgres(folder, port)
    sql = (HERE / "postgres" / "10-roles.sql").read_text(encoding="utf-8")
    file = folder / "postgres" / "10-roles.sql"  # where its user can read it
    file.write_text(sql, encoding="utf-8")
    file.chmod(0o644)
    psql(folder, port, "-f", str(file), known=known)


def _start_server(folder: pathlib.Path, known: Mapping[str, str], store: str) -> None:
    if _server(folder) is not None:
        return
    port = known["GDZOO_SERVER_PORT"]
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", int(port)))
        except OSError as error:
            raise TeamError(f"port {port} cannot be used ({error.strerror}); name another") from error
    config = folder / "auth.ini"
    text = (HERE / "postgres" / "auth.ini").read_text(encoding="utf-8")
    _private(config, text.replace("@DATABASE@", store.replace("%", "%%")))
    hosts = f"127.0.0.1:{port},localhost:{port}"
    words = ["server", "--app-name", "basic-auth", "--host", "127.0.0.1", "--port", port]
    words += ["--artifacts-destination", str(folder / "artifacts"), "--workers", "1", "--allowed-hosts", hosts]
    login = {name: known[name] for name in ("MLFLOW_FLASK_SERVER_SECRET_KEY", "MLFLOW_AUTH_ADMIN_PASSWORD")}
    login |= {"MLFLOW_AUTH_ADMIN_USERNAME": "admin", "MLFLOW_AUTH_CONFIG_PATH": str(config)}
    login |= {"MLFLOW_BACKEND_STORE_URI": store}
    with open(folder / "server.log", "ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *words],
            env={**os.environ, **QUIET, **login},
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    (folder / "server.pid").write_text(f"{process.pid}\n", encoding="utf-8")

    def answers() -> bool:
        if process.poll() is not None:
            raise TeamError(f"the server ended at once; its last words are in {folder / 'server.log'}")
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
            return True
        return False

    _until(answers, f"the server does not answer; see {folder / 'server.log'}")


def _server(folder: pathlib.Path) -> int | None:
    """Returns the process group of the server if it runs."""
    try:
        pid = int((folder / "server.pid").read_text(encoding="utf-8"))
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)  # if this process started it
        command = pathlib.Path(f"/proc/{pid}/cmdline")
        os.kill(pid, 0)
        return None if command.exists() and b"mlflow" not in command.read_bytes() else pid
    except (OSError, ValueError):
        return None


def _database_runs(folder: pathlib.Path) -> bool:
    return (folder / "postgres" / "postmaster.pid").exists() and (
        _run(folder, "pg_ctl", "status", "-D", folder / "postgres").returncode == 0
    )


def _pg(folder: pathlib.Path, name: str, *words: str | pathlib.Path, known: Mapping[str, str] | None = None) -> str:
    done = _run(folder, name, *words, known=known)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise TeamError(f"{name}: {said[-1] if said else f'exit code {done.returncode}'}")
    return done.stdout


def _run(
    folder: pathlib.Path, name: str, *words: str | pathlib.Path, known: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs one of PostgreSQL's programs as its user. Its output goes to a file: a server it starts keeps it open."""
    own = {} if os.getuid() else {"user": "postgres", "group": "postgres", "extra_groups": []}
    plain = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
    with open(folder / f"{name}.out", "w+", encoding="utf-8") as out:
        code = subprocess.run(
            [_program(name), *map(str, words)],
            env={**plain, **(known or {})},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            check=False,
            **own,  # type: ignore[call-overload]
        ).returncode
        out.seek(0)
        return subprocess.CompletedProcess(words, code, out.read(), "")


def _program(name: str) -> str:
    """Returns the path of one of PostgreSQL's programs: Debian keeps most of them off PATH."""
    homes = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    found = shutil.which(name, path=os.pathsep.join([*map(str, reversed(homes)), os.environ.get("PATH", "")]))
    if found is None:
        raise TeamError(f"{name} is not there; install PostgreSQL 15 or later (Debian: apt-get install postgresql)")
    if os.getuid() == 0:
        try:
            pwd.getpwnam("postgres")
        except KeyError:
            raise TeamError(
                "PostgreSQL does not run as root and there is no user postgres; say it as another user"
            ) from None
    return found


def _said(words: Sequence[str], what: str, more: Mapping[str, str] | None = None) -> None:
    done = subprocess.run(words, env={**os.environ, **(more or {})}, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise TeamError(f"{what}: {lines[-1] if lines else done.returncode}")


def _private(file: pathlib.Path, text: str) -> None:
    """Writes a file that only its owner can read."""
    file.touch(mode=0o600)
    file.chmod(0o600)
    file.write_text(text, encoding="utf-8")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _until(true: object, what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not true():  # type: ignore[operator]
        if time.monotonic() > end:
            raise TeamError(what)
        time.sleep(0.1)


def main() -> int:
    """Runs the words of the command line and returns the exit code: 0, 1 for `status` of what does not run, or 2."""
    words = sys.argv[1:]
    try:
        if (
            len(words) not in (2, 3)
            or words[0] not in ("start", "stop", "status")
            or not (words[2:] or ["1"])[0].isdigit()
        ):
            raise TeamError("say: team.py start FOLDER [PORT] | stop FOLDER | status FOLDER")
        folder = pathlib.Path(words[1]).absolute()
        if words[0] == "start":
            login = start(folder, int((words[2:] or ["5000"])[0]))
            sys.stdout.writelines(f"export {name}={value}\n" for name, value in login.items())
            sys.stdout.write(f"# the database itself, read-only: {uri(environment(folder), 'ro')}\n")
            return 0
        if words[0] == "stop":
            stop(folder)
        found = status(folder)
        sys.stdout.writelines(f"{name:10s}{'runs' if runs else 'does not run'}\n" for name, runs in found.items())
        return 0 if words[0] == "stop" or all(found.values()) else 1
    except TeamError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())
