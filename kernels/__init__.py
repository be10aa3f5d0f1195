"""Compiled array functions ("kernel" = a jitted JAX function; nothing to do with GPU binaries).

Pure functions of arrays: no input or output, no names of scenarios, no labels. Everything is in
log10 (FLOP overflow float32) and years. Functions act on one draw; batching lives in `ensemble`.
"""
