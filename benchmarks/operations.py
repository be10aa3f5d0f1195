"""What the kernel computes for a draw and for a draw at a node, counted in the traced program."""

from collections import Counter
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from aitimelines.forecast.problem import Problem
from aitimelines.forecast.world import passage_curve

# What only moves data.
_SHAPES = {
    *("broadcast_in_dim", "squeeze", "slice", "unstack", "reshape", "convert_element_type"),
    *("copy", "dynamic_slice", "gather", "stop_gradient", "transpose", "concatenate", "given"),
}


class Operation(NamedTuple):
    """One of the program's operations.

    name: of the primitive; of: its operands; on: "draw", "node", both or neither
    """

    name: str
    of: tuple[int, ...]
    on: frozenset[str]


class Operations(NamedTuple):
    """How often each primitive is evaluated, common parts once; and what a node takes from a draw.

    a_draw:  once a draw, in how many places
    a_node:  once a draw and node
    carried: numbers of a draw that its nodes read
    """

    a_draw: Counter[str]
    a_node: Counter[str]
    carried: int


def count_operations(problem: Problem) -> Operations:
    """Count the curve of a draw. The inputs themselves are not in it."""
    one = problem.ensemble
    values = jnp.zeros(len(problem.structure.columns) + one.inputs.location.shape[0])
    leaves, tree = jax.tree.flatten(one.shared)
    curve = passage_curve(problem.structure)

    def flat(node: Any, values: Any, *leaves: Any) -> Any:
        return curve(values, jax.tree.unflatten(tree, leaves), node)

    closed = jax.make_jaxpr(flat)(one.nodes[0], values, *leaves)
    found: list[Operation] = []
    known: dict[Any, int] = {}

    def added(key: Any, operation: Operation) -> int:
        if key not in known:
            known[key] = len(found)
            found.append(operation)
        return known[key]

    def constant(value: Any) -> int:
        return added(("constant", id(value)), Operation("constant", (), frozenset()))

    def walk(jaxpr: Any, constants: list[int], given: list[int]) -> list[int]:
        place: dict[Any, int] = {}
        place |= dict(zip(jaxpr.constvars, constants, strict=True))
        place |= dict(zip(jaxpr.invars, given, strict=True))

        def of(variable: Any) -> int:
            if hasattr(variable, "val"):  # a literal
                return added(("literal", str(variable)), Operation("literal", (), frozenset()))
            return place[variable]

        for equation in jaxpr.eqns:
            operands = tuple(of(v) for v in equation.invars)
            inner = next((v for v in equation.params.values() if hasattr(v, "jaxpr")), None)
            if inner is not None:
                constants = [
                    added(("constant", id(c)), Operation("constant", (), frozenset()))
                    for c in inner.consts
                ]
                results = walk(inner.jaxpr, constants, list(operands))
            else:
                on = frozenset().union(*(found[i].on for i in operands))
                name = equation.primitive.name
                key = (name, str(equation.params), operands)
                results = [
                    added((*key, i), Operation(name, operands, on))
                    for i in range(len(equation.outvars))
                ]
            place |= dict(zip(equation.outvars, results, strict=True))
        return [of(v) for v in jaxpr.outvars]

    on = [frozenset({"node"}), frozenset({"draw"}), *[frozenset()] * len(leaves)]
    given = [added(("given", i), Operation("given", (), own)) for i, own in enumerate(on)]
    return _summary(found, walk(closed.jaxpr, list(map(constant, closed.consts)), given))


def _summary(found: list[Operation], results: list[int]) -> Operations:
    """Count what the results need."""
    needed, waiting = set(), list(results)
    while waiting:
        if (i := waiting.pop()) not in needed:
            needed.add(i)
            waiting += found[i].of
    both = frozenset({"draw", "node"})

    def source(i: int) -> int:
        """Return the operation behind changes of shape; a slice takes a number of its own."""
        passed_on = found[i].name in _SHAPES - {"slice", "unstack", "given"}
        return source(found[i].of[0]) if passed_on else i

    counts: dict[frozenset[str], Counter[str]] = {}
    for i in needed:
        if found[i].name not in _SHAPES:
            counts.setdefault(found[i].on, Counter())[found[i].name] += 1
    carried = {
        source(j)
        for i in needed
        if found[i].on == both
        for j in found[i].of
        if found[j].on == frozenset({"draw"})
    }
    return Operations(
        counts.get(frozenset({"draw"}), Counter()), counts.get(both, Counter()), len(carried)
    )
