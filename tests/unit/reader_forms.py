"""A format for each example file of docs/formats/examples, as docs/formats/index.md shows them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from reader_samples import ENERGY, ESTIMATED, EXPORT, HOMES, series

from meterlake.fileformats.base import FileFormat
from meterlake.fileformats.greenbutton import Flow, GreenButton
from meterlake.fileformats.homeassistant import HomeAssistantDatabase, HomeAssistantText, Statistic
from meterlake.fileformats.nem import Channel, Nem12, Nem13
from meterlake.fileformats.records import (
    JsonLines,
    JsonList,
    JsonTable,
    ObisText,
    Parquet,
    Register,
    Time,
    Value,
    Workbook,
)

EXAMPLES: Final = Path(__file__).parents[2] / "docs/formats/examples"
KWH: Final = (Value("kwh", "energy", unit="kWh"),)
BOTH: Final = series(ENERGY, EXPORT, ESTIMATED)
HOURS: Final = series(ENERGY, EXPORT, ESTIMATED, intervals=("1 h",))
QUARTERS: Final = series(ENERGY, EXPORT, ESTIMATED, intervals=("15 min",))
STATISTICS: Final = (Statistic("sensor.grid_energy", "energy"), Statistic("sensor.solar_energy", "feed_in"))
GAPS: Final = Register(across_gap="one_interval")

FORMS: Final[dict[str, FileFormat]] = {
    "readings.parquet": Parquet(dataset=HOMES, meter="meter", time=Time("time"), values=KWH, interval_s=1800),
    "readings.jsonl": JsonLines(
        dataset=HOMES,
        meter="device.id",
        time=Time("time"),
        values=(Value("sensor.energy", "energy", unit="kWh"),),
        interval_s=1800,
    ),
    "list.json": JsonList(
        dataset=HOMES, at="result.readings", meter="meter", time=Time("time", "epoch_ms"), values=KWH, interval_s=1800
    ),
    "table.json": JsonTable(
        dataset=HOMES,
        meter="meterpoint_id",
        time=Time("interval_start", "yyyy-MM-dd HH:mm:ss"),
        values=(Value("consumption_delta", "energy", unit="kWh"),),
        interval_s=1800,
    ),
    "readings.xlsx": Workbook(
        dataset=HOMES,
        meter="Meter",
        time=Time("From", "dd.MM.yyyy HH:mm"),
        values=(Value("kWh", "energy", unit="kWh"),),
        interval_s=1800,
    ),
    "nem12.csv": Nem12(
        dataset=BOTH,
        channels=(Channel("E1", "energy"), Channel("B1", "feed_in", absent="0")),
        estimated="estimated",
    ),
    "nem13.csv": Nem13(
        dataset=series(ENERGY, ESTIMATED), channels=(Channel("11", "energy"),), interval_s=1800, estimated="estimated"
    ),
    "green-button.xml": GreenButton(
        dataset=BOTH, flows=(Flow("forward", "energy"), Flow("reverse", "feed_in", absent="0")), estimated="estimated"
    ),
    "home-assistant.db": HomeAssistantDatabase(
        dataset=HOURS, meter_id="home", statistics=STATISTICS, estimated="estimated", register=GAPS
    ),
    "home-assistant.csv": HomeAssistantText(
        dataset=HOURS,
        meter_id="home",
        statistics=STATISTICS,
        time=Time("start", "dd.MM.yyyy HH:mm"),
        time_zone="Europe/Berlin",
        decimal=",",
        estimated="estimated",
        register=GAPS,
    ),
    "obis.csv": ObisText(
        dataset=QUARTERS,
        meter="meter",
        serial="serial",
        time=Time("time", "dd.MM.yyyy HH:mm"),
        time_zone="Europe/Berlin",
        values=(Value("1-0:1.8.0", "energy", unit="kWh"), Value("1-0:2.8.0", "feed_in", unit="kWh")),
        interval_s=900,
        estimated="estimated",
        register=Register(digits=6, across_gap="spread"),
    ),
}
