"""Costs in the engine: half hours with their products in, lines of days out; many meters a group, each in arrays."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from meterlake.tariffs.cost import Line, Usage, lines
from meterlake.tariffs.declaration import MONEY_DIGITS, PRICE_DIGITS
from meterlake.vee.grid import local

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from meterlake.declaration import MeterSeries
    from meterlake.tariffs.declaration import Tariffs

METERS_A_GROUP: Final = 50


def costs(usage: DataFrame, series: MeterSeries, tariffs: Tariffs, meters: int) -> DataFrame:
    """Return the lines. usage: (key, start_s, units, estimated, product_id, display_name) of whole months."""
    groups = max(meters // METERS_A_GROUP, usage.sparkSession.sparkContext.defaultParallelism)
    made = partial(_lines, key=series.key, step=series.cell_s, time_zone=series.time_zone, tariffs=tariffs)
    money, price = f"DECIMAL(18, {MONEY_DIGITS})", f"DECIMAL(18, {PRICE_DIGITS})"
    schema = (
        f"day DATE, {series.key} STRING, product_id STRING, display_name STRING, tariff STRING, part STRING,"
        f" price {price}, kwh DECIMAL(18, 3), estimated_kwh DECIMAL(18, 3), amount {money}, currency STRING,"
        f" vat_rate {price}"
    )
    bucket = F.pmod(F.xxhash64(series.key), F.lit(groups))
    return usage.withColumn("bucket", bucket).groupBy("bucket").applyInArrow(made, schema)


def _lines(table: pa.Table, key: str, step: int, time_zone: str, tariffs: Tariffs) -> pa.Table:
    names = table[key].combine_chunks().dictionary_encode()
    meters, starts = names.indices.to_numpy(zero_copy_only=False), table["start_s"].to_numpy()
    order = np.lexsort((starts, meters))
    meters, starts = meters[order], starts[order]
    units = table["units"].to_numpy()[order]
    estimated = table["estimated"].to_numpy(zero_copy_only=False)[order]
    products = table["product_id"].combine_chunks().dictionary_encode()
    places = products.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    of_rows, firsts = places[order], np.unique(places, return_index=True)[1]
    shown = table["display_name"].take(pa.array(firsts)).to_pylist()
    known = list(zip(products.dictionary.to_pylist(), shown, strict=True))
    day, slot = local(starts, step, time_zone)
    result: list[tuple[str, Line]] = []
    for first, last in _stretches(meters):
        mine = slice(first, last)
        meter = names.dictionary[int(meters[first])].as_py()
        used = Usage(
            starts[mine], units[mine], estimated[mine], day[mine], slot[mine] * (step // 60), of_rows[mine], known
        )
        result += [(meter, line) for line in lines(used, tariffs)]
    return _table(result, key, tariffs.currency)


def _stretches(meters: np.ndarray) -> list[tuple[int, int]]:
    """Return where each meter's rows begin and end, of rows sorted by meter."""
    edges = [0, *(np.flatnonzero(np.diff(meters)) + 1).tolist(), len(meters)]
    return list(pairwise(edges))


def _table(lines: list[tuple[str, Line]], key: str, currency: str) -> pa.Table:
    price, energy, money = pa.decimal128(18, PRICE_DIGITS), pa.decimal128(18, 3), pa.decimal128(18, MONEY_DIGITS)

    def column(values: list[Any], kind: pa.DataType) -> pa.Array:
        return pa.array(values, kind)

    some = [line for _, line in lines]
    return pa.table(
        {
            "day": column([line.day for line in some], pa.date32()),
            key: column([meter for meter, _ in lines], pa.string()),
            "product_id": column([line.product for line in some], pa.string()),
            "display_name": column([line.product_name for line in some], pa.string()),
            "tariff": column([line.tariff for line in some], pa.string()),
            "part": column([line.part for line in some], pa.string()),
            "price": column([_padded(line.price, PRICE_DIGITS) for line in some], price),
            "kwh": column([Decimal(line.energy).scaleb(-3) for line in some], energy),
            "estimated_kwh": column([Decimal(line.estimated).scaleb(-3) for line in some], energy),
            "amount": column([Decimal(line.amount).scaleb(-MONEY_DIGITS) for line in some], money),
            "currency": column([currency] * len(some), pa.string()),
            "vat_rate": column([_padded(line.tax, PRICE_DIGITS) for line in some], price),
        }
    )


def _padded(value: Decimal | None, digits: int) -> Decimal | None:
    return None if value is None else value.quantize(Decimal(1).scaleb(-digits))
