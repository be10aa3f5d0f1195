"""Two processes of ``jax.distributed``, two devices each, give the bits of one."""

import os
import socket
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
from aitimelines.kernels import ensemble, quasi_random

PROCESSES, DEVICES = 2, 2


def curve(values: jax.Array, shift: jax.Array, node: jax.Array) -> jax.Array:
    return jax.nn.sigmoid(values.sum() + shift * node)


def means(devices: int) -> np.ndarray:
    inputs = ensemble.Inputs(
        (), jnp.array([0.1, -0.3]), jnp.array([1.0, 0.5]), jnp.zeros(2, bool), jnp.zeros(2, bool)
    )
    points = quasi_random.randomise(jax.random.key(0), 2, 4)
    one = ensemble.Ensemble(inputs, jnp.float32(0.3), jnp.linspace(0.0, 3.0, 5), points)
    *_, (done, values) = ensemble.replicate_means(
        curve,
        ensemble.stack([one]),
        4 * 5 * ensemble.TILE,
        mesh=ensemble.device_mesh(devices),
        chunk=3,
    )
    assert done == 4 * 5 * ensemble.TILE
    return values


def test_two_processes_give_the_bits_of_one() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    flags = f"--xla_force_host_platform_device_count={DEVICES}"
    started = [
        subprocess.Popen(
            [sys.executable, __file__, address, str(number)],
            env=os.environ | {"XLA_FLAGS": flags},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(PROCESSES)
    ]
    finished = [process.communicate(timeout=300) for process in started]
    assert [process.returncode for process in started] == [0, 0], finished
    expected = means(1).tobytes().hex()
    # The transport says on standard output how many peers it has found, too.
    assert [expected in out for out, _ in finished] == [True] * PROCESSES


if __name__ == "__main__":
    jax.distributed.initialize(sys.argv[1], PROCESSES, int(sys.argv[2]))
    sys.stdout.write(means(DEVICES).tobytes().hex())
