"""NumPyro models of the historical record, one module a record.

Each module offers ``observations`` (which rows of its tables, as arrays), ``model`` (a NumPyro
function of them) and ``forecast_columns`` (what the forecast takes from each posterior draw).
"""
