"""The embedded tables are what was published, and what is wrong in a file is told by line."""

import csv
import hashlib
import re
import subprocess
import sys
import tomllib
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from aitimelines.forecast import datasets, importing, table_schema
from hypothesis import given
from hypothesis import strategies as st

# Rows, and cells that are not empty, as counted in the sources when they were collected.
COUNTS = {
    "notable_models": (
        1036,
        {
            "organization": 1018,
            "country": 1018,
            "date": 1031,
            "domain": 1031,
            "parameters": 708,
            "training_compute_flop": 529,
            # 664 in the source, of which three cells list several numbers.
            "training_datapoints": 661,
            "confidence": 961,
            "training_hardware": 363,
            "hardware_utilization_mfu": 34,
            "training_cost_usd2023": 179,
        },
    ),
    "notable_models_2022_05": (
        497,
        {"date": 496, "parameters": 243, "training_compute_flop": 133, "training_datapoints": 160},
    ),
    "notable_models_2022_06": (
        501,
        {"date": 501, "parameters": 250, "training_compute_flop": 138, "training_datapoints": 168},
    ),
    "notable_models_2022_07": (
        501,
        {"date": 501, "parameters": 254, "training_compute_flop": 138, "training_datapoints": 204},
    ),
    "notable_models_2024_07": (
        825,
        {
            "organization": 820,
            "parameters": 540,
            "training_compute_flop": 386,
            "training_datapoints": 362,
            "confidence": 500,
            "training_hardware": 244,
            "hardware_utilization_mfu": 29,
            "training_cost_usd2023": 157,
            "finetune_compute_flop": 29,
        },
    ),
    "all_models": (
        2168,
        {
            "organization": 2121,
            "country": 2116,
            "domain": 2139,
            "parameters": 1790,
            "training_compute_flop": 1231,
            "training_compute_flop_low": 8,
            "training_compute_flop_high": 2,
            # 1363 in the source, of which three cells list several numbers.
            "training_datapoints": 1360,
            "confidence": 1946,
            "training_hardware": 900,
            "notable": 2168,
        },
    ),
    "three_eras_123": (
        123,
        {"parameters": 105, "training_compute_flop": 123, "group_z076_first112": 112},
    ),
    "ml_hardware": (
        176,
        {"release_date": 162, "release_price_usd": 58, "fp32_flop_per_s": 127, "tdp_watt": 153},
    ),
    "training_costs": (
        82,
        {"cloud_cost_usd": 35, "hardware_acquisition_cost_usd": 46, "training_compute_flop": 82},
    ),
    "gpus_2005_2021": (
        1948,
        {
            "release_date": 1848,
            "release_year": 1898,
            "foundry": 1904,
            "fp16_flop_per_s": 536,
            "fp64_flop_per_s": 1306,
            "price_usd2020": 415,
            "tdp_watt": 1745,
            "memory_bandwidth_byte_per_s": 1644,
        },
    ),
    "gpu_clusters": (
        703,
        {
            "first_operational_date": 572,
            "owner": 447,
            "chip_type": 455,
            "chip_quantity": 625,
            "op16_per_s": 682,
            # 703 in the source, of which two contradict the 16-bit performance.
            "h100_equivalents": 701,
            "max_op_per_s": 701,
            "power_mw": 619,
            "hardware_cost_usd": 536,
        },
    ),
    "ai_chip_stock": (46, {"cumulative_chips_p50": 46, "cumulative_power_mw_p95": 46}),
    "data_center_timelines": (129, {"milestone_date": 129, "h100_equivalents": 127}),
    "company_compute_spend": (11, {"amount_usd": 11}),
    "company_revenue": (32, {"annualized_revenue_usd": 32}),
    "chinchilla_losses": (245, {"loss_nats": 245}),
    "porian_isoflop": (1745, {"loss_nats": 1745}),
    "isoflop_losses": (567, {"loss": 567, "outlier_reason": 106}),
    "data_constrained_losses": (308, {"unique_tokens": 308, "seed": 64}),
    "sparsity_losses": (160, {"training_tokens": 48, "training_images": 112}),
    "board_games_elo": (3673, {"elo_vs_perfect_play": 3673}),
    "lm_algorithmic_progress": (
        408,
        {
            "training_compute_flop": 76,
            "perplexity_wt103": 165,
            "perplexity_wt2": 111,
            "perplexity_ptb": 142,
            "in_ho2024_head_sample": 70,
        },
    ),
    "dataset_sizes": (80, {"training_compute_flop": 59, "training_datapoints": 80}),
    "imagenet_progress": (
        113,
        {
            "top5_error_percent": 33,
            "training_compute_flop": 102,
            # 110 in the source, of which two are a thousand times too large.
            "parameters": 108,
            "input_size_px": 90,
        },
    ),
    "efficiency_2020": (12, {"training_compute_flop": 12, "reduction_factor": 12}),
    "time_horizons": (58, {"p50_horizon_minutes": 58}),
    "capabilities_index": (
        298,
        {
            "release_date": 295,
            "accessibility": 266,
            "training_compute_flop": 140,
            "eci": 298,
            "eci_2026_02": 263,
            "eci_2026_02_ci_low": 256,
        },
    ),
    "world_gross_product": (
        84,
        {"world_gross_product_intd2011": 76, "world_gross_product_usd": 64},
    ),
}
DATES = {
    "notable_models": ("1950-07-02", "2026-07-15"),
    "notable_models_2022_05": ("1952-01-01", "2022-04-14"),
    "notable_models_2022_06": ("1950-07-02", "2022-05-23"),
    "notable_models_2022_07": ("1950-07-02", "2022-05-23"),
    "notable_models_2024_07": ("1950-07-02", "2024-06-25"),
    "all_models": ("1950-07-02", "2026-07-15"),
    "three_eras_123": ("1952-01-01", "2022-01-20"),
    "ml_hardware": ("2008-06-16", "2026-03-11"),
    "training_costs": ("2015-12-02", "2025-04-05"),
    "gpus_2005_2021": ("2005-11-22", "2021-04-12"),
    "gpu_clusters": ("2010-11-15", "2025-07-22"),
    "ai_chip_stock": ("2022-03-31", "2026-03-31"),
    "company_compute_spend": ("2022-12-31", "2025-12-31"),
    "company_revenue": ("2022-12-31", "2025-10-21"),
    "lm_algorithmic_progress": ("2012-06-27", "2023-05-23"),
    "dataset_sizes": ("2010-06-01", "2023-11-03"),
    "imagenet_progress": ("2012-09-01", "2022-09-16"),
    "efficiency_2020": ("2012-06-01", "2019-05-28"),
    "time_horizons": ("2019-02-14", "2026-03-05"),
    "capabilities_index": ("2023-02-24", "2026-03-05"),
}
SYSTEMS = [name for name in COUNTS if name.startswith(("notable", "all", "three"))]
CORE = (
    *("name", "organization", "country", "organization_type", "date", "date_precision", "domain"),
    *("task", "parameters", "training_compute_flop", "training_datapoints", "confidence"),
    "source",
)
CREDITED = (
    *("Epoch AI, CC BY 4.0", "METR", "Besiroglu", "Porian", "Muennighoff", "boardlaw, MIT"),
    *("Open Athena, isoflop-experiments; Llama 3", "Google Research, jaxpruner"),
    *("Epoch AI, Apache-2.0", "Villalobos", "Erdil", "Hernandez", "Our World in Data"),
)
# Ends of column names and the unit each promises.
UNIT_OF_SUFFIX = {
    "_flop": "FLOP",
    "_flop_per_s": "FLOP/s",
    "_op_per_s": "op/s",
    "_op_per_s_per_watt": "op/s/W",
    "_op_per_s_per_usd": "op/s/USD",
    "_byte_per_s": "byte/s",
    "_byte": "byte",
    "_tokens": "token",
    "_datapoints": "datapoint",
    "_hours": "hour",
    "_minutes": "minute",
    "_watt": "W",
    "_usd": "USD",
    "_usd2020": "USD (2020)",
    "_usd2023": "USD (2023)",
    "_billion_usd2025": "billion USD (2025)",
    "_intd2011": "int$ (2011)",
    "_gb": "GB",
    "_mw": "MW",
    "_percent": "%",
    "_px": "pixel",
    "_year": "year",
    "_nm": "nm",
    "_mm2": "mm^2",
    "_million": "million transistors",
    "_nats": "nat",
    "_mfu": "1",
}
# The header of Epoch AI's notable models as published in 2026, and one of 2024.
HEADER_2026 = [
    *("Model", "Organization", "Publication date", "Domain", "Task", "Parameters"),
    *("Parameters notes", "Training compute (FLOP)", "Training compute notes", "Training dataset"),
    *("Training dataset size (total)", "Dataset size notes", "Confidence", "Link", "Abstract"),
    *("Organization categorization", "Country (of organization)", "Epochs"),
    *("Training time (hours)", "Training hardware", "Hardware quantity"),
    *("Hardware utilization (MFU)", "Training compute cost (2023 USD)", "Training power draw (W)"),
    *("Base model", "Finetune compute (FLOP)", "Batch size", "Model accessibility"),
    *("Numerical format", "Frontier model", "Open model weights?"),
]
SPELLED_IN_2024 = {
    "Model": "System",
    "Training dataset size (total)": "Training dataset size (datapoints)",
    "Country (of organization)": "Country (from Organization)",
    "Hardware utilization (MFU)": "Hardware utilization",
}
HARDWARE = {
    "Hardware name": "Chip A",
    "Manufacturer": "Maker",
    "Type": "GPU",
    "Notes": "",
    "Release date": "2024-03-01",
    "Release price (USD)": "12000.0",
    "Tensor-FP16/BF16 performance (FLOP/s)": "989500000000000.0",
    "Memory (bytes)": "80000000000.0",
    "TDP (W)": "700.0",
    "FP32 (single precision) performance (FLOP/s)": "66900000000000.0",
    "Process size (nm)": "5.0",
    "Max performance": "0.0",
    "Energy efficiency": "inf",
    "Price-performance": "inf",
    "ML OP/s": "0.0",
}


def system(**cells: str) -> dict[str, str]:
    """Return a row of Epoch AI's file of 2026; keywords use _ for spaces."""
    row = dict.fromkeys(HEADER_2026, "") | {
        "Model": "Alpha 1",
        "Organization": "Lab,University",
        "Publication date": "2026-01-31",
        "Domain": "Language",
        "Parameters": "1600000000000.0",
        "Parameters notes": 'Said to be "1.6T",\nof which 49B active',
        "Training compute (FLOP)": "9.702e+24",
        "Training dataset size (total)": "33000000000000.0",
        "Confidence": "Likely",
        "Hardware quantity": "2048.0",
        "Frontier model": "True",
    }
    return row | cells


def write_csv(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture(autouse=True)
def data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give every test its own empty data folder."""
    folder = tmp_path / "data"
    monkeypatch.setenv("AITIMELINES_DATA", str(folder))
    return folder


@pytest.fixture(scope="module")
def frames() -> dict[str, pd.DataFrame]:
    folder = "no-such-folder"
    return {name: datasets.load_frame(name, directory=folder) for name in datasets.table_ids()}


@pytest.fixture(scope="module")
def labelled() -> dict[str, xr.Dataset]:
    return {name: datasets.load(name, directory="no-such-folder") for name in COUNTS}


# --- the embedded tables -------------------------------------------------------------------------


def test_ids() -> None:
    assert sorted(datasets.table_ids()) == sorted(COUNTS)


@pytest.mark.parametrize("name", COUNTS)
def test_counts_are_those_of_the_source(frames: dict[str, pd.DataFrame], name: str) -> None:
    rows, filled = COUNTS[name]
    assert len(frames[name]) == rows
    assert {column: int(frames[name][column].notna().sum()) for column in filled} == filled


@pytest.mark.parametrize("name", DATES)
def test_dates_span_those_of_the_source(frames: dict[str, pd.DataFrame], name: str) -> None:
    info = datasets.table_info(name)
    dates = frames[name][info.date_column]
    assert (f"{dates.min():%Y-%m-%d}", f"{dates.max():%Y-%m-%d}") == DATES[name]
    assert info.as_of.isoformat() == DATES[name][1]
    assert info.vintage >= info.as_of


@pytest.mark.parametrize("name", COUNTS)
def test_recorded_hash_is_that_of_the_file(root: Path, name: str) -> None:
    content = (root / "forecast" / "data" / f"{name}.csv").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    assert datasets.sha256(name) == digest == datasets.table_info(name).sha256
    assert b"\r" not in content


@pytest.mark.parametrize("name", COUNTS)
def test_provenance_travels_with_the_table(
    root: Path, labelled: dict[str, xr.Dataset], frames: dict[str, pd.DataFrame], name: str
) -> None:
    info = datasets.table_info(name)
    assert frames[name]["source"].str.len().min() > 10
    assert (labelled[name]["source"] != "").all()
    attributes = labelled[name].attrs
    assert attributes["licence"] == info.licence
    assert attributes["attribution"] == info.attribution
    assert any(who in info.attribution for who in CREDITED)
    assert attributes["vintage"] == info.vintage.isoformat()
    assert (attributes["table_id"], attributes["sha256"]) == (name, info.sha256)
    readme = (root / "forecast" / "data" / "README.md").read_text()
    row = f"| `{name}` | {len(frames[name])} | {info.title} | {str(info.vintage)[:4]}"
    assert row in readme
    assert f"| {info.licence} | {info.attribution} |" in readme.partition(row)[2].partition("\n")[0]
    assert f"- `{name}`: {info.citation}" in readme


@pytest.mark.parametrize("name", COUNTS)
def test_every_number_has_the_unit_its_name_promises(
    labelled: dict[str, xr.Dataset], name: str
) -> None:
    columns = datasets.table_info(name).columns
    units = {column.name: column.unit for column in columns}
    flags = {column.name for column in columns if column.dtype == "boolean"}
    for variable in labelled[name].variables.values():
        assert variable.attrs["long_name"]
    for label, variable in labelled[name].variables.items():
        if variable.dtype.kind not in "fi" or label in flags | {"year"}:
            continue
        assert variable.attrs["units"] == units[label]
        suffixes = [end for end in UNIT_OF_SUFFIX if str(label).endswith(end)]
        if suffixes:
            assert units[label] == UNIT_OF_SUFFIX[max(suffixes, key=len)]
        else:
            assert units[label], label


@pytest.mark.parametrize("name", COUNTS)
def test_units_and_values_survive_a_file(
    labelled: dict[str, xr.Dataset], tmp_path: Path, name: str
) -> None:
    labelled[name].to_netcdf(tmp_path / "table.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "table.nc", engine="h5netcdf") as back:
        xr.testing.assert_equal(back.load(), labelled[name])
        for label, variable in labelled[name].variables.items():
            assert back[label].attrs.get("units") == variable.attrs.get("units")


def test_the_tables_of_systems_share_a_core(labelled: dict[str, xr.Dataset]) -> None:
    for name in SYSTEMS:
        dataset = labelled[name]
        assert set(CORE) <= set(dataset.variables)
        assert dataset["training_compute_flop"].dims == ("system",)
        kinds = [dataset[label].dtype.kind for label in CORE]
        assert kinds == [labelled["notable_models"][label].dtype.kind for label in CORE]
        assert {"name", "date", "year"} <= set(dataset.coords)


def test_rows_without_a_date_are_kept(labelled: dict[str, xr.Dataset]) -> None:
    notable = labelled["notable_models"]
    undated = notable.isel(system=np.isnat(notable["date"].values))
    assert undated.sizes["system"] == 5
    assert np.isnan(undated["year"]).all()


def test_disclosure_of_compute_by_year(frames: dict[str, pd.DataFrame]) -> None:
    notable = frames["notable_models"]
    years = notable.groupby(notable["date"].dt.year)["training_compute_flop"].agg(["count", "size"])
    known = {2019: (38, 68), 2022: (60, 91), 2024: (48, 98), 2026: (10, 41)}
    assert {year: tuple(years.loc[year]) for year in known} == known


def test_sizes_given_as_several_numbers_are_missing(frames: dict[str, pd.DataFrame]) -> None:
    notable = frames["notable_models"].set_index("name")["training_datapoints"]
    listed = ["EfficientNetV2-XL", "Masked Autoencoders ViT-H", "AbLang (heavy sequences)"]
    assert notable[listed].isna().all()
    assert notable.max() < 1e15


def test_villalobos_2022_count_of_models_with_parameters(frames: dict[str, pd.DataFrame]) -> None:
    june = frames["notable_models_2022_06"]
    assert june.loc[june["date"] < "2022-02-01", "parameters"].notna().sum() == 237


def test_sevilla_2022_groups_and_doubling_times(frames: dict[str, pd.DataFrame]) -> None:
    eras = frames["three_eras_123"]
    early = eras["date"] < "2010-01-01"
    paper = eras["row"] <= 112
    assert int((early & paper).sum()) == 19
    groups = eras.loc[paper & ~early, "group_z076_first112"].value_counts()
    assert groups.to_dict() == {"regular": 72, "large_scale": 16, "low_outlier": 5}

    def doubling_months(rows: pd.Series) -> float:
        years = datasets.decimal_year(eras.loc[rows, "date"])
        slope = np.polyfit(years, np.log2(eras.loc[rows, "training_compute_flop"]), 1)[0]
        return 365 / 30 / slope

    late = eras["date"] >= "2015-09-01"
    group = eras["group_z076_all123"]
    assert doubling_months(early) == pytest.approx(21.3, abs=0.06)
    assert doubling_months(late & (group == "large_scale")) == pytest.approx(10.7, abs=0.06)
    assert doubling_months(late & (group == "regular")) == pytest.approx(5.8, abs=0.06)


def test_early_systems_with_compute_by_vintage(frames: dict[str, pd.DataFrame]) -> None:
    early = frames["notable_models"].query("date < '2010-01-01'")
    assert early["training_compute_flop"].notna().sum() == 62


def test_chinchilla_losses_lie_on_the_published_fit(frames: dict[str, pd.DataFrame]) -> None:
    runs = frames["chinchilla_losses"]
    assert runs["excluded_besiroglu2024"].sum() == 5
    n, d = runs["parameters"], runs["training_tokens"]
    assert np.allclose(6 * n * d, runs["training_compute_flop"], rtol=1e-8)
    fitted = 1.8172 + 482.01 / n**0.3478 + 2085.43 / d**0.3658
    error = (fitted / runs["loss_nats"] - 1).abs()[~runs["excluded_besiroglu2024"]]
    assert error.median() < 0.005
    assert error.max() < 0.06


def test_metr_doubling_time(frames: dict[str, pd.DataFrame]) -> None:
    horizons = frames["time_horizons"]
    first = horizons["suite_version"] == "1.0"
    assert (int(first.sum()), int((~first).sum())) == (33, 25)
    shown = horizons[first & horizons["sota_at_release"] & (horizons["release_date"] < "2025-04")]
    days = (shown["release_date"] - shown["release_date"].min()).dt.days
    slope = np.polyfit(days, np.log2(shown["p50_horizon_minutes"]), 1)[0]
    assert 1 / slope == pytest.approx(212, abs=0.5)
    for level in ("p50", "p80"):
        middle = horizons[f"{level}_horizon_minutes"]
        assert (horizons[f"{level}_ci_low_minutes"] <= middle).all()
        assert (middle <= horizons[f"{level}_ci_high_minutes"]).all()


def test_hardware_agrees_with_the_data_sheet(frames: dict[str, pd.DataFrame]) -> None:
    chip = frames["ml_hardware"].set_index("name").loc["NVIDIA H100 SXM5 80GB"]
    assert chip["memory_byte"] == 80e9
    assert chip["memory_bandwidth_byte_per_s"] == 3.35e12
    assert chip["tdp_watt"] == 700
    assert chip["tensor_fp16_flop_per_s"] == pytest.approx(989.4e12)


def test_training_cost_growth_lies_in_the_published_interval(
    frames: dict[str, pd.DataFrame],
) -> None:
    costs = frames["training_costs"].query("'2016-01-01' <= date < '2024-04-01'")
    assert len(costs) == 67
    dollars = np.log(costs["amortized_hardware_energy_cost_usd"])
    growth = np.exp(np.polyfit(datasets.decimal_year(costs["date"]), dollars, 1)[0])
    assert 2.0 < growth < 2.9


def test_language_model_rows_without_a_size_are_missing(frames: dict[str, pd.DataFrame]) -> None:
    assert frames["lm_algorithmic_progress"]["dataset_tokens"].isna().sum() == 5


def growth_per_year(rows: pd.DataFrame, dates: str, column: str) -> float:
    """Return the factor a year of a straight line through the logarithms."""
    known = rows.dropna(subset=[dates, column])
    slope = np.polyfit(datasets.decimal_year(known[dates]), np.log(known[column]), 1)[0]
    return float(np.exp(slope))


def test_sevilla_roldan_2024_growth_of_training_compute(frames: dict[str, pd.DataFrame]) -> None:
    since = frames["notable_models_2024_07"].query("'2010-01-01' <= date < '2024-06-01'")
    assert 3.7 < growth_per_year(since, "date", "training_compute_flop") < 4.6


def test_all_models_hold_the_notable_ones_unchanged(frames: dict[str, pd.DataFrame]) -> None:
    everything, notable = frames["all_models"], frames["notable_models"]
    taken = everything[everything["source"].str.startswith("epoch_notable_2026-07-23")]
    assert len(taken) == 861
    assert taken["notable"].all()
    assert taken["frontier"].notna().all()
    assert everything["frontier"].notna().sum() == 861
    columns = ["parameters", "training_compute_flop", "training_datapoints", "organization"]
    there = notable.set_index("name").loc[taken["name"], columns]
    pd.testing.assert_frame_equal(taken.set_index("name")[columns], there)
    numbers = everything[["parameters", "training_compute_flop", "training_datapoints"]]
    assert numbers.notna().any(axis=1).all()
    assert everything["training_datapoints"].max() < 1e15


def test_hobbhahn_2022_doubling_of_gpu_performance(frames: dict[str, pd.DataFrame]) -> None:
    gpus = frames["gpus_2005_2021"]
    priced = gpus.assign(per_usd=gpus["fp32_flop_per_s"] / gpus["price_usd2020"])
    by_price = growth_per_year(priced, "release_date", "per_usd")
    assert 2.24 < np.log(2) / np.log(by_price) < 2.72
    assert (
        2.14 < np.log(2) / np.log(growth_per_year(gpus, "release_date", "fp32_flop_per_s")) < 2.51
    )
    chip = gpus.set_index("name").loc["NVIDIA GeForce 8800 GTX"]
    assert chip["memory_bandwidth_byte_per_s"] == 86.4e9
    assert not gpus["foundry"].str.contains("^", regex=False, na=False).any()


def test_pilz_2025_doubling_of_leading_clusters(frames: dict[str, pd.DataFrame]) -> None:
    clusters = frames["gpu_clusters"].dropna(subset=["first_operational_date", "op16_per_s"])
    clusters = clusters[~clusters["possible_duplicate"] & (clusters["certainty"] != "Unlikely")]
    clusters = clusters.sort_values("first_operational_date")
    sizes = clusters["op16_per_s"].to_numpy()
    leading = [int((sizes[:at] > size).sum()) < 10 for at, size in enumerate(sizes)]
    shown = clusters[leading].query("'2019-01-01' <= first_operational_date < '2025-04-01'")
    growth = growth_per_year(shown, "first_operational_date", "op16_per_s")
    assert 12 * np.log(2) / np.log(growth) == pytest.approx(9, abs=1)


def test_performance_of_clusters_that_contradicts_itself_is_missing(
    frames: dict[str, pd.DataFrame],
) -> None:
    clusters = frames["gpu_clusters"]
    emptied = clusters[clusters["max_op_per_s"].isna()]
    assert set(emptied["name"]) == {
        "HUMAIN Saudi Arabia/NVIDIA Phase 1",
        "Stargate UAE Phase 1",
    }
    assert emptied["h100_equivalents"].isna().all()
    assert (clusters["op16_per_s"] / clusters["max_op_per_s"]).max() < 5


def test_sums_of_chips_grow_and_their_quantiles_are_ordered(
    frames: dict[str, pd.DataFrame],
) -> None:
    stock = frames["ai_chip_stock"]
    for what in ("chips", "h100_equivalents", "power_mw"):
        low, middle, high = (stock[f"cumulative_{what}_{at}"] for at in ("p5", "p50", "p95"))
        assert ((low < middle) & (middle < high)).all()
        assert (middle.groupby(stock["manufacturer"]).diff().dropna() > 0).all()
    assert (stock["start_date"] < stock["end_date"]).all()


def test_plans_of_data_centers_are_no_dates_to_cut_by(frames: dict[str, pd.DataFrame]) -> None:
    info = datasets.table_info("data_center_timelines")
    rows = frames["data_center_timelines"]
    assert info.date_column is None
    assert (rows["milestone_date"] > pd.Timestamp(info.vintage)).any()
    days = rows["milestone_date"]
    assert (f"{days.min():%Y-%m-%d}", f"{days.max():%Y-%m-%d}") == ("2016-09-20", "2029-01-01")
    assert (rows["compute_cost_billion_usd2025"] <= rows["capital_cost_billion_usd2025"]).all()
    assert rows["data_center"].nunique() == 18


def test_villalobos_2024_growth_of_training_sets(frames: dict[str, pd.DataFrame]) -> None:
    growth = growth_per_year(frames["dataset_sizes"], "date", "training_datapoints")
    assert 0.27 < np.log10(growth) < 0.48


def test_image_classifiers_are_possible(frames: dict[str, pd.DataFrame]) -> None:
    runs = frames["imagenet_progress"]
    both = runs.dropna(subset=["top5_error_percent"])
    assert (both["top5_error_percent"] < both["top1_error_percent"]).all()
    assert runs.loc[runs["name"].str.startswith("Refined-ViT-L_"), "parameters"].isna().sum() == 2
    best = runs.loc[runs["top1_error_percent"].idxmin()]
    assert best["top1_error_percent"] == 9.1


def test_hernandez_brown_2020_reduction(frames: dict[str, pd.DataFrame]) -> None:
    rows = frames["efficiency_2020"]
    per_day = rows["compute_teraflop_s_days"] * 1e12 * 86_400
    assert np.allclose(rows["training_compute_flop"], per_day, rtol=1e-9)
    series = rows[rows["target"] == "AlexNet"]
    first, last = series["training_compute_flop"].iloc[[0, -1]]
    assert first / last == pytest.approx(44, abs=1)
    years = datasets.decimal_year(series["date"])
    assert 12 * (years[-1] - years[0]) / np.log2(first / last) == pytest.approx(16, abs=1)


def test_the_capabilities_index_is_one_number_a_model(frames: dict[str, pd.DataFrame]) -> None:
    versions = frames["capabilities_index"]
    assert versions["name"].nunique() == 133
    assert (versions.groupby("name")["eci"].nunique() == 1).all()
    fixed = versions.set_index("model_version").loc[["claude-3-5-sonnet-20240620", "gpt-5-chat"]]
    for column in ("eci", "eci_2026_02"):
        assert fixed[column].tolist() == [130, 150]
    known = versions.dropna(subset=["eci_2026_02_ci_low"])
    assert (known["eci_2026_02_ci_low"] <= known["eci_2026_02"]).all()
    assert (known["eci_2026_02"] <= known["eci_2026_02_ci_high"]).all()
    unknown = versions["compute_confidence"].isin(["Unknown", "Unverified"])
    assert versions.loc[unknown, "training_compute_flop"].isna().all()


def test_world_product_by_year(frames: dict[str, pd.DataFrame]) -> None:
    world = frames["world_gross_product"].set_index("calendar_year")
    assert (world.index.min(), world.index.max()) == (1, 2023)
    assert world.index.is_monotonic_increasing
    constant = world["world_gross_product_intd2011"].dropna()
    assert (constant.index.min(), constant.index.max()) == (1, 2015)
    current = world["world_gross_product_usd"].dropna()
    assert (current.index.min(), current.index.max()) == (1960, 2023)
    assert current[2023] == pytest.approx(105e12, rel=0.01)


def test_compute_and_revenue_of_companies(frames: dict[str, pd.DataFrame]) -> None:
    spend, revenue = frames["company_compute_spend"], frames["company_revenue"]
    assert set(spend["company"]) == {"Anthropic", "OpenAI"}
    assert set(revenue["company"]) == {"Anthropic", "OpenAI", "xAI"}
    at_end = spend["figure_date"] == pd.Timestamp("2025-12-31")
    year = spend[at_end & (spend["company"] == "OpenAI")]
    amounts = year.set_index("spend_category")["amount_usd"]
    parts = amounts[["R&D cloud compute", "Inference cloud compute"]].sum()
    assert parts == amounts["R&D cloud compute,Inference cloud compute"]


def test_descriptions_are_complete() -> None:
    known = table_schema.tables()
    used = {name for entry in known["tables"].values() for name in entry["columns"]}
    assert used == known["columns"].keys()
    for name, entry in known["tables"].items():
        assert set(entry["key"]) | set(entry["required"]) <= set(entry["columns"]), name
        assert entry["warnings"]
    for entry in known["published"].values():
        assert set(entry["names"]) | set(entry["required"]) <= set(known["columns"])


def test_ids_descriptions_and_hashes_import_nothing_heavy(tmp_path: Path) -> None:
    code = "import sys; from aitimelines.forecast import datasets as d\n"
    code += "d.sha256('notable_models'), d.table_info('ml_hardware'), d.table_ids()\n"
    code += "assert not {'pandas', 'pandera', 'xarray', 'scipy', 'jax'} & set(sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("call", [datasets.table_info, datasets.sha256, datasets.load])
def test_unknown_id_names_the_nearest(call: object) -> None:
    with pytest.raises(ValueError, match=r"got 'notable-model'.*'notable_models'"):
        call("notable-model")


# --- decimal years -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("when", "year"),
    [
        ("2023-01-01", 2023.0),
        ("2023-12-31", 2023 + 364 / 365),
        ("2024-12-31", 2024 + 365 / 366),
        ("2023-07-02T12:00", 2023.5),
        ("1950-07-02", 1950 + 182 / 365),
        ("1900-03-01", 1900 + 59 / 365),
        ("2000-03-01", 2000 + 60 / 366),
    ],
)
def test_decimal_year_of_known_dates(when: str, year: float) -> None:
    assert float(datasets.decimal_year(when)) == pytest.approx(year, abs=1e-12)
    assert datasets.date_of(year) == np.datetime64(when[:10])


@given(st.dates(date(1700, 1, 1), date(2199, 12, 31)))
def test_date_of_inverts_decimal_year(day: date) -> None:
    year = datasets.decimal_year(day)
    assert int(np.floor(year)) == day.year
    assert datasets.date_of(year).astype(date) == day


@given(st.floats(1700, 2500), st.floats(0, 500))
def test_decimal_years_keep_the_order(year: float, later: float) -> None:
    day, next_day = datasets.date_of([year, year + later])
    assert day <= next_day
    assert -1e-8 <= year - float(datasets.decimal_year(day)) < 1 / 365 + 1e-8


def test_decimal_year_keeps_shape_and_missing() -> None:
    dates = np.array([["2020-01-01", "NaT"], ["2021-01-01", "2022-01-01"]], "datetime64[ns]")
    years = datasets.decimal_year(dates)
    np.testing.assert_array_equal(years, [[2020, np.nan], [2021, 2022]])
    days = datasets.date_of([[np.nan, np.inf], [2021, 2022.5]])
    np.testing.assert_array_equal(np.isnat(days), [[True, True], [False, False]])
    assert datasets.decimal_year(pd.Series(pd.to_datetime(["2020-01-01"]))).tolist() == [2020]
    assert datasets.decimal_year([date(2020, 1, 1)]).tolist() == [2020]


def test_decimal_year_refuses_what_is_no_date() -> None:
    with pytest.raises(ValueError, match="soon"):
        datasets.decimal_year("soon")


# --- importing -----------------------------------------------------------------------------------


def test_import_of_a_published_file_then_load(tmp_path: Path, data_folder: Path) -> None:
    rows = [
        system(),
        system(Model="Beta", **{"Training compute (FLOP)": "", "Frontier model": ""}),
        system(Model="Gamma", **{"Publication date": "2026-04-24", "Parameters": ""}),
    ]
    before = datasets.sha256("notable_models")
    info = datasets.import_table(write_csv(tmp_path / "epoch.csv", rows))
    assert info.imported
    assert info.path == data_folder / "notable_models.csv"
    assert info.vintage == info.as_of == date(2026, 4, 24)
    assert info == datasets.table_info("notable_models")
    assert datasets.sha256("notable_models") == info.sha256 != before
    assert sorted(path.name for path in data_folder.iterdir()) == [
        "notable_models.csv",
        "notable_models.toml",
    ]
    table = datasets.load("notable_models")
    assert table["name"].values.tolist() == ["Alpha 1", "Beta", "Gamma"]
    np.testing.assert_array_equal(table["training_compute_flop"], [9.702e24, np.nan, 9.702e24])
    np.testing.assert_array_equal(table["parameters"], [1.6e12, 1.6e12, np.nan])
    np.testing.assert_array_equal(table["training_datapoints"], [3.3e13] * 3)
    np.testing.assert_array_equal(table["hardware_quantity"], [2048] * 3)
    assert table["frontier"].values.tolist() == [True, False, True]
    assert table["confidence"].values.tolist() == ["Likely"] * 3
    assert table["source"].values.tolist() == ["epoch.csv|CC BY 4.0"] * 3
    assert table.attrs["vintage"] == "2026-04-24"
    assert table.attrs["attribution"] == "Epoch AI, CC BY 4.0"
    assert "529" not in table.attrs["warnings"], "that warning is about the embedded vintage"


def test_old_spellings_a_byte_order_mark_and_a_vintage(tmp_path: Path) -> None:
    old = {SPELLED_IN_2024.get(name, name): cell for name, cell in system().items()}
    path = write_csv(tmp_path / "old.csv", [old])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    info = datasets.import_table(path, vintage="2026-02-28", directory=tmp_path / "other")
    assert (info.vintage, info.as_of) == (date(2026, 2, 28), date(2026, 1, 31))
    table = datasets.load("notable_models", directory=tmp_path / "other")
    assert table["name"].item() == "Alpha 1"
    assert table["training_datapoints"].item() == 3.3e13
    assert datasets.load_frame("notable_models").shape[0] == 1036, "another folder was not asked"


def test_import_of_hardware_takes_computed_zeros_and_infinities_as_unknown(tmp_path: Path) -> None:
    rows = [HARDWARE, HARDWARE | {"Hardware name": "Chip B", "Max performance": "9e14"}]
    info = datasets.import_table(write_csv(tmp_path / "hw.csv", rows), "ml_hardware")
    chips = datasets.load("ml_hardware")
    assert chips["tensor_fp16_flop_per_s"].values.tolist() == [9.895e14] * 2
    assert chips["memory_byte"].values.tolist() == [8e10] * 2
    np.testing.assert_array_equal(chips["max_op_per_s"], [np.nan, 9e14])
    assert np.isnan(chips["energy_efficiency_op_per_s_per_watt"]).all()
    assert any(
        "'Max performance'" in warning and "lines 2 " in warning for warning in info.warnings
    )


def test_a_size_given_as_several_numbers_counts_as_unknown(tmp_path: Path) -> None:
    rows = [system(**{"Training dataset size (total)": "14180000,14180000"})]
    info = datasets.import_table(write_csv(tmp_path / "epoch.csv", rows))
    assert np.isnan(datasets.load("notable_models")["training_datapoints"]).all()
    assert "several numbers" in info.warnings[-1]


@pytest.mark.parametrize("name", COUNTS)
def test_importing_an_embedded_table_changes_nothing(name: str, data_folder: Path) -> None:
    embedded = datasets.table_info(name)
    info = datasets.import_table(embedded.path, name, vintage=embedded.vintage.isoformat())
    assert info.path == data_folder / f"{name}.csv"
    assert info.path.read_bytes() == embedded.path.read_bytes()
    assert info.sha256 == embedded.sha256


def test_an_import_is_not_replaced_unasked(tmp_path: Path) -> None:
    first = datasets.import_table(write_csv(tmp_path / "one.csv", [system()]))
    other = write_csv(tmp_path / "two.csv", [system(Model="Beta")])
    with pytest.raises(FileExistsError, match="overwrite=True"):
        datasets.import_table(other)
    assert datasets.table_info("notable_models") == first
    second = datasets.import_table(other, overwrite=True)
    assert second.sha256 != first.sha256
    assert datasets.load_frame("notable_models")["name"].tolist() == ["Beta"]


@pytest.mark.parametrize(
    ("cells", "got"),
    [
        ({"Publication date": "31/01/2026"}, "column 'Publication date': got '31/01/2026'"),
        ({"Publication date": "2026-02-30"}, "column 'Publication date': got '2026-02-30'"),
        ({"Publication date": "9999-01-01"}, "column 'Publication date': got '9999-01-01'"),
        ({"Publication date": "1823-01-01"}, "column 'Publication date': got '1823-01-01'"),
        (
            {"Training compute (FLOP)": "-3e24"},
            r"'Training compute \(FLOP\)': got '-3e24', expected a finite number > 0 \[FLOP\]",
        ),
        ({"Training compute (FLOP)": "0"}, r"'Training compute \(FLOP\)': got '0'"),
        ({"Training compute (FLOP)": "nan"}, r"'Training compute \(FLOP\)': got 'nan'"),
        ({"Training compute (FLOP)": "inf"}, r"'Training compute \(FLOP\)': got 'inf'"),
        ({"Training compute (FLOP)": "1e999"}, r"'Training compute \(FLOP\)': got '1e999'"),
        ({"Parameters": "1,6"}, "column 'Parameters': got '1,6'"),
        ({"Parameters": "70B"}, "column 'Parameters': got '70B'"),
        ({"Hardware quantity": "8.5"}, "'Hardware quantity': got '8.5', expected a whole number"),
        ({"Hardware utilization (MFU)": "41"}, r"got '41', expected .* > 0 and <= 1 \[1\]"),
        ({"Confidence": "Sure"}, "'Confidence': got 'Sure', expected one of Confident, Likely"),
        ({"Frontier model": "perhaps"}, "'Frontier model': got 'perhaps', expected true or false"),
        ({"Model": " "}, "column 'Model': got '', expected a text"),
    ],
)
def test_a_wrong_cell_is_told_by_line_and_column(
    tmp_path: Path, data_folder: Path, cells: dict[str, str], got: str
) -> None:
    # The first row holds a line break, so that the second starts on line 4 and the third on 6.
    rows = [system(), system(Model="Beta"), system(Model="Gamma") | cells]
    with pytest.raises(ValueError, match=f"notable_models: line 6, .*{got}"):
        datasets.import_table(write_csv(tmp_path / "epoch.csv", rows))
    assert not data_folder.exists()


def test_the_first_wrong_line_of_a_column_is_told(tmp_path: Path) -> None:
    wrong = {"Parameters": "-1"}
    rows = [system(), *(system(Model=f"M{i}") | wrong for i in range(12))]
    with pytest.raises(ValueError, match="line 4, column 'Parameters'"):
        datasets.import_table(write_csv(tmp_path / "epoch.csv", rows))


def test_a_repeated_row_is_told(tmp_path: Path) -> None:
    rows = [system(), system(Model="Beta"), system(**{"Publication date": "2025-01-01"})]
    with pytest.raises(ValueError, match="line 6 repeats line 2: got name 'Alpha 1'"):
        datasets.import_table(write_csv(tmp_path / "epoch.csv", rows))


def test_missing_cells_agree_in_the_key(tmp_path: Path) -> None:
    embedded = datasets.table_info("notable_models_2022_05").path.read_text(encoding="utf-8")
    lines = embedded.splitlines()
    row = next(line for line in lines if line.startswith("GPT-NeoX-20B"))
    path = tmp_path / "twice.csv"
    path.write_text("\n".join([*lines, row]), encoding="utf-8")
    found = lines.index(row) + 1
    with pytest.raises(ValueError, match=f"line {len(lines) + 1} repeats line {found}:"):
        datasets.import_table(path, "notable_models_2022_05")


@pytest.mark.parametrize(
    ("gone", "told"),
    [
        ("Model", "missing column 'name' or 'Model' or 'System'"),
        ("Training compute (FLOP)", r"missing column .* or 'Training compute \(FLOP\)'"),
        ("Publication date", "missing column 'date' or 'Publication date'"),
    ],
)
def test_a_missing_column_is_told_as_it_should_be_spelled(
    tmp_path: Path, gone: str, told: str
) -> None:
    row = {name: cell for name, cell in system().items() if name != gone}
    with pytest.raises(ValueError, match=told):
        datasets.import_table(write_csv(tmp_path / "epoch.csv", [row]))


def test_a_column_in_twice_is_refused(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "epoch.csv", [system()])
    header, rest = path.read_text().split("\n", 1)
    path.write_text(header.replace("Training dataset,", "Parameters,") + "\n" + rest)
    with pytest.raises(ValueError, match="'Parameters' more than once"):
        datasets.import_table(path)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "empty file"),
        (b"\xef\xbb\xbf \r\n", "empty file"),
        (b"Model,Organization\n", "header alone"),
        ("Model\nOrganisé\n".encode("latin-1"), "line 2: got bytes that are not UTF-8"),
        ("Model\nAlpha\n".encode("utf-16"), "not UTF-8"),
        (b"Model,Domain\nAlpha\n", "line 2: got 1 cells, expected 2"),
        (b'Model,Domain\n"Al"pha,Language\n', "line 2: not CSV"),
        (b'Model,Domain\nAlpha,"Language\n', "line 2: not CSV"),
        (b"Model,Domain\nAl\0pha,Language\n", r"'organization'|not CSV"),
        (b"<!DOCTYPE html>\n<html>\n", "missing column"),
    ],
)
def test_what_is_not_such_a_file_is_refused(
    tmp_path: Path, data_folder: Path, content: bytes, told: str
) -> None:
    path = tmp_path / "epoch.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=told):
        datasets.import_table(path)
    assert not data_folder.exists()


def test_a_path_that_is_no_file_and_a_file_too_large_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="expected a CSV file"):
        datasets.import_table(tmp_path / "none.csv")
    path = write_csv(tmp_path / "epoch.csv", [system()])
    monkeypatch.setattr(importing, "LARGEST_FILE_BYTES", 100)
    with pytest.raises(ValueError, match="expected at most 100 bytes"):
        datasets.import_table(path)


@pytest.mark.parametrize(
    ("vintage", "told"),
    [
        ("July 2026", "vintage: got 'July 2026', expected a date as YYYY-MM-DD"),
        ("2026-01-30", "vintage: got 2026-01-30, expected a day not before 2026-01-31"),
    ],
)
def test_a_wrong_vintage_is_refused(tmp_path: Path, vintage: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        datasets.import_table(write_csv(tmp_path / "epoch.csv", [system()]), vintage=vintage)


def test_a_table_without_dates_needs_a_vintage(tmp_path: Path) -> None:
    path = datasets.table_info("chinchilla_losses").path
    with pytest.raises(ValueError, match="expected a vintage"):
        datasets.import_table(path, "chinchilla_losses")


@pytest.mark.parametrize("fails_at", ["write_bytes", "replace"])
@pytest.mark.parametrize("count", [1, 2])
def test_a_failed_write_leaves_nothing_to_be_read(
    tmp_path: Path, data_folder: Path, monkeypatch: pytest.MonkeyPatch, fails_at: str, count: int
) -> None:
    path = write_csv(tmp_path / "epoch.csv", [system()])
    done = getattr(Path, fails_at)
    calls = []

    def broken(self: Path, argument: object) -> object:
        calls.append(self)
        if len(calls) == count:
            raise OSError("no space left")
        return done(self, argument)

    with monkeypatch.context() as patch:
        patch.setattr(Path, fails_at, broken)
        with pytest.raises(OSError, match="no space left"):
            datasets.import_table(path)
    assert not list(data_folder.glob(".*"))
    assert not list(data_folder.glob("*.toml"))
    assert len(datasets.load_frame("notable_models")) == 1036
    datasets.import_table(path)
    assert len(datasets.load_frame("notable_models")) == 1


def test_a_failed_replacement_is_refused_or_leaves_the_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets.import_table(write_csv(tmp_path / "one.csv", [system()]))
    other = write_csv(tmp_path / "two.csv", [system(Model="Beta")])
    monkeypatch.setattr(Path, "write_bytes", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        datasets.import_table(other, overwrite=True)
    assert datasets.load_frame("notable_models")["name"].tolist() == ["Alpha 1"]


def test_a_changed_or_lost_file_is_refused(tmp_path: Path) -> None:
    info = datasets.import_table(write_csv(tmp_path / "epoch.csv", [system()]))
    info.path.write_text(info.path.read_text().replace("9.702e+24", "9.703e+24"))
    with pytest.raises(ValueError, match=f"expected {info.sha256}; import the table again"):
        datasets.load("notable_models")
    info.path.unlink()
    with pytest.raises(ValueError, match="import the table again"):
        datasets.load("notable_models")


def test_a_broken_record_is_refused(tmp_path: Path) -> None:
    info = datasets.import_table(write_csv(tmp_path / "epoch.csv", [system()]))
    record = info.path.with_suffix(".toml")
    assert tomllib.loads(record.read_text())["source_file"] == "epoch.csv"
    for text in ("vintage = ", "vintage = 2026-01-01\n"):
        record.write_text(text)
        with pytest.raises(ValueError, match=re.escape(str(record))):
            datasets.table_info("notable_models")
