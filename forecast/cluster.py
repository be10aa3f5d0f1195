"""Tasks on an existing dask.distributed cluster (extra ``cluster``).

Whoever reaches a scheduler can run code as its user: other hosts are spoken to only over TLS.
"""

import ipaddress
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

RETRIES = 3  # of a task that failed
SECONDS_TO_CONNECT, SECONDS_FOR_WORKERS = 20, 60


def checked_address(address: str) -> str:
    """Return the address of a scheduler if it may be used.

    Raises ``ValueError`` unless it is tls://HOST:PORT, or tcp://HOST:PORT on this machine.
    """
    full = address if "://" in address else f"tcp://{address}"
    try:
        parts = urlsplit(full)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if host is None or port is None or parts.scheme not in ("tcp", "tls"):
        raise ValueError(
            f"cluster: got {address!r}, expected tls://HOST:PORT, or tcp://127.0.0.1:PORT"
        )
    if parts.scheme == "tcp" and not _is_this_machine(host):
        raise ValueError(
            f"cluster: got {address!r}, expected tls:// for another machine, with certificates "
            "in dask's configuration (distributed.comm.tls)"
        )
    return full


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@contextmanager
def connected(address: str) -> Iterator[Callable[..., Iterator[Any]]]:
    """Give a function ``submit(function, arguments)`` that yields results as they are done.

    It keeps few tasks under way and holds no results. A task whose worker was killed is tried
    again; if that fails too it is left out, and the caller has to look what is missing.
    Raises ``ValueError`` if there is no scheduler, no worker, or no certificate for TLS.
    """
    try:
        from distributed import Client, Security
    except ImportError:
        raise ValueError(
            "cluster: dask.distributed is missing, install the extra `cluster`"
        ) from None
    encrypted = address.startswith("tls")
    security = Security(require_encryption=True) if encrypted else Security()
    own = [getattr(security, f"tls_{name}") for name in ("ca_file", "client_cert", "client_key")]
    if encrypted and None in own:
        raise ValueError(
            "cluster: no certificates, expected ca-file, client.cert and client.key under "
            "distributed.comm.tls in dask's configuration"
        )
    try:
        client = Client(
            address, security=security, timeout=SECONDS_TO_CONNECT, set_as_default=False
        )
    except (OSError, ValueError) as error:
        raise ValueError(f"cluster: cannot reach {address}: {error}") from None
    with client:
        try:
            client.wait_for_workers(1, timeout=SECONDS_FOR_WORKERS)
        except TimeoutError:
            raise ValueError(f"cluster: the scheduler at {address} has no workers") from None
        yield lambda function, arguments: _submit(client, function, arguments)


def _submit(
    client: Any, function: Callable[..., Any], arguments: Iterable[tuple[Any, ...]]
) -> Iterator[Any]:
    waiting: set[Any] = set()
    for each in arguments:
        # Pure would mean that a task of the same arguments need not run again.
        waiting.add(client.submit(function, *each, pure=False, retries=RETRIES))
        if len(waiting) >= 2 * max(1, sum(client.nthreads().values())):
            yield from _finished(client, waiting)
    while waiting:
        yield from _finished(client, waiting)


def _finished(client: Any, waiting: set[Any]) -> Iterator[Any]:
    """Yield the results of what has finished, at least one, and let go of it."""
    from distributed import KilledWorker, wait

    with client.as_current():
        done = wait(waiting, return_when="FIRST_COMPLETED").done
    for future in done:
        waiting.remove(future)
        error = future.exception()
        result = None if error else future.result()
        future.release()
        if error is None:
            yield result
        elif not isinstance(error, KilledWorker):
            raise error
