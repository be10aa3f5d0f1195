"""Published numbers, and how each is computed again: a TOML file and a module for each topic.

``TOPIC.toml`` says what was published (`reproduce.published` describes its entries); ``TOPIC.py``
has ``COMPUTED``: id -> function that computes it by the method of its authors. Those of one paper
may share a function; what it returns is kept while the process lives.
"""
