# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Outages: where, when and why customers are without supply
#
# It reads the utility's lakehouse through Trino, as the settings of the environment say (`METERLAKE_HOME`,
# `METERLAKE_PORT_OFFSET`, `METERLAKE_TRINO_URL`). Where there is none, the first cell says how to make one.
#
# Queries are in Trino's SQL. Their tables are the facts, dimensions and views of the declaration (docs/utility-
# dictionary.md).

# %%
import matplotlib.pyplot as plt
import numpy as np

from lakehouse.frames import opened
from serving_layer.reports import style

plt.rcParams.update(style.RC | {"figure.figsize": (12, 4.5), "figure.constrained_layout.use": True})
lake = opened("utility")

# %% [markdown]
# ## Month by month
#
# SAIDI: minutes without supply a customer served. SAIFI: interruptions a customer served. Both of the whole month,
# major event days included (IEEE 1366).

# %%
months = lake.figure("saidi", "month").merge(lake.figure("saifi", "month"), on="month")
months = months.merge(lake.figure("saidi_on_major", "month"), on="month")
picture, (left, right) = plt.subplots(1, 2)
labels = [f"{month[:4]}-{month[4:]}" for month in months["month"]]
left.bar(labels, months["saidi"], color=style.BLUE, label="all days")
left.bar(labels, months["saidi_on_major"], color=style.VERMILLION, label="of it major event days")
left.set(title="SAIDI", ylabel="min", ylim=(0, 1.2 * months["saidi"].max()))
left.legend(ncols=2, loc="upper left")
right.bar(labels, months["saifi"], color=style.GREEN)
right.set(title="SAIFI", ylabel="interruptions")
for axes in (left, right):
    axes.tick_params(axis="x", rotation=90)

# %% [markdown]
# ## Causes
#
# Many outages are not many minutes: the two bars of a cause are its share of unplanned outages, and its share of the
# customer minutes of unplanned ones.

# %%
causes = lake.ask("""
SELECT o.cause, count(DISTINCT o.outage_id) AS outages, coalesce(sum(i.minutes), 0) AS minutes
FROM (SELECT outage_id, coalesce(cause, 'unknown') AS cause FROM fact_outage WHERE NOT is_planned) o
LEFT JOIN interruptions i ON i.outage_id = o.outage_id AND i.is_sustained
GROUP BY o.cause ORDER BY outages
""")
shares = causes[["outages", "minutes"]] / causes[["outages", "minutes"]].sum()
place = np.arange(len(causes))
picture, axes = plt.subplots()
axes.barh(place + 0.2, shares["outages"], 0.38, color=style.BLUE, label="of the outages")
axes.barh(place - 0.2, shares["minutes"], 0.38, color=style.ORANGE, label="of the customer minutes")
axes.set_yticks(place, causes["cause"].str.replace("_", " "))
axes.set(title="Unplanned outages by cause", xlabel="share")
axes.grid(visible=False, axis="y")
axes.grid(visible=True, axis="x")
axes.legend(loc="lower right")
causes

# %% [markdown]
# ## Hours and months
#
# When faults begin, in local time. Empty fields are hours of a month without a fault.

# %%
hours = lake.ask("""
SELECT month, CAST(hour AS INTEGER) AS hour, count(*) AS outages FROM outage_rows WHERE NOT is_planned
GROUP BY month, hour
""")
grid = hours.pivot_table(index="hour", columns="month", values="outages").reindex(range(24))
picture, axes = plt.subplots()
drawn = axes.pcolormesh(np.arange(grid.shape[1] + 1), np.arange(25), grid.to_numpy(dtype=float), cmap=style.HEAT)
axes.set_xticks(np.arange(grid.shape[1]) + 0.5, [f"{month[:4]}-{month[4:]}" for month in grid.columns], rotation=90)
axes.set_yticks(range(0, 25, 6))
axes.set(title="Unplanned outages by month and hour of their beginning", ylabel="hour")
axes.grid(visible=False)
_ = picture.colorbar(drawn, ax=axes, label="outages")

# %% [markdown]
# ## Few feeders have most of the minutes
#
# Feeders by their customer minutes, the worst first. Without a difference between feeders the curve would be the
# diagonal.

# %%
feeders = lake.ask("""
SELECT feeder_id, region, sum(CASE WHEN is_sustained THEN minutes ELSE 0 END) AS minutes
FROM reliability GROUP BY feeder_id, region ORDER BY minutes DESC
""")
part = np.arange(1, len(feeders) + 1) / len(feeders)
together = feeders["minutes"].cumsum() / feeders["minutes"].sum()
picture, axes = plt.subplots(figsize=(7, 5))
axes.plot([0, *part], [0, *together], color=style.BLUE)
axes.plot([0, 1], [0, 1], color=style.GREY, linestyle=":")
axes.set(title="Customer minutes on the worst feeders", xlabel="share of the feeders", ylabel="share of the minutes",
         xlim=(0, 1), ylim=(0, 1.02))  # fmt: skip
feeders.head(5)

# %% [markdown]
# ## How long a fault lasts
#
# The share of sustained faults (longer than five minutes) that are not restored after so many hours.

# %%
lasting = lake.ask("""
SELECT coalesce(cause, 'unknown') AS cause, date_diff('second', began_at, restored_at) / 3600E0 AS hours
FROM fact_outage WHERE NOT is_planned AND restored_at > began_at + INTERVAL '5' MINUTE
""")
picture, axes = plt.subplots()
often = lasting["cause"].value_counts().index[: len(style.SERIES)]
for cause, colour in zip(often, style.SERIES, strict=False):
    sorted_hours = np.sort(lasting.loc[lasting["cause"] == cause, "hours"])
    left_over = 1 - np.arange(1, len(sorted_hours) + 1) / len(sorted_hours)
    label = f"{cause.replace('_', ' ')} ({len(sorted_hours)})"
    axes.step([0, *sorted_hours], [1, *left_over], where="post", color=colour, label=label)
axes.set(title="Faults that are not restored yet", xlabel="hours after the beginning", ylabel="share", ylim=(0, 1.02),
         xlim=(0, lasting["hours"].quantile(0.99)))  # fmt: skip
_ = axes.legend()

# %% [markdown]
# ## In numbers
#
# The figures of `meterlake kpi utility … --by total`, over all days of the lakehouse.

# %%
figures = {
    name: lake.total(name)
    for name in ("saifi", "saidi", "caidi", "outages_unplanned", "customer_minutes_lost", "restoration_median")
} | {"unplanned_by_cause": dict(zip(causes["cause"], causes["outages"].tolist(), strict=True))}
figures
