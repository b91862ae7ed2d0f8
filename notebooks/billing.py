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
# # Bills that are not as usual
#
# High and low bills, estimates in a row, energy that nobody pays. It reads the utility's lakehouse through Trino, as
# the settings of the environment say. Where there is none, the first cell says how to make one.
#
# A bill is high or low where the customer's energy a day is more than three MAD (median of the absolute differences
# from the median) away from the median of the same customer's earlier bills in the same half of the year. At least
# three of these are needed: the first months of a history have no such bills, and those after them many, because few
# bills have a small MAD.

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
# Peaks of every April and October are of the rule, not of the customers: a bill that ends early in a half of the year
# is mostly energy of the half before, and is compared with bills that are not. A peak in another month is worth a
# look.

# %%
months = lake.ask("""
SELECT month, count_if(has_history) AS known, count_if(is_high) AS high, count_if(is_low) AS low,
    coalesce(sum(CASE WHEN is_high OR is_low OR is_negative THEN abs(amount) END), 0) AS at_risk
FROM invoice_flags GROUP BY month ORDER BY month
""")
labels, place = [f"{month[:4]}-{month[4:]}" for month in months["month"]], np.arange(len(months))
known = months["known"].where(months["known"] > 0)
picture, (left, right) = plt.subplots(1, 2)
left.plot(place, months["high"] / known, color=style.VERMILLION, marker="o", label="high")
left.plot(place, months["low"] / known, color=style.BLUE, marker="o", label="low")
left.set(title="Share of bills that are high or low, of those with a history", ylabel="share")
left.set_ylim(bottom=0)
left.legend()
right.bar(place, months["at_risk"] / 1e6, color=style.ORANGE)
right.set(title="Amount of high, low and negative bills", ylabel="million PKR")
for axes in (left, right):
    axes.set_xticks(place, labels, rotation=90)
    axes.set_xlim(-0.7, len(months) - 0.3)
months.tail(6)

# %% [markdown]
# ## Three customers
#
# Those with the most flagged bills: energy a day of each bill, with the flagged ones marked. Customers are known by
# their number only where Trino lets you (docs/compliance.md); here they are numbered.

# %%
bills = lake.ask("""
SELECT f.customer_id, f.date_sk, f.is_high, f.is_low, CAST(r.kwh AS DOUBLE) / r.days AS daily
FROM invoice_flags f JOIN invoice_rows r ON r.invoice_id = f.invoice_id
WHERE f.customer_id IN (
    SELECT customer_id FROM invoice_flags GROUP BY customer_id
    ORDER BY count_if(is_high OR is_low) DESC, customer_id LIMIT 3)
ORDER BY f.customer_id, f.date_sk
""")
bills["day"] = bills["date_sk"].astype("datetime64[ns]")
picture, all_axes = plt.subplots(1, 3, sharey=False)
for number, (axes, (_, own)) in enumerate(zip(all_axes, bills.groupby("customer_id"), strict=False), start=1):
    axes.plot(own["day"], own["daily"], color=style.GREY, marker=".", zorder=1)
    for flag, colour in (("is_high", style.VERMILLION), ("is_low", style.BLUE)):
        some = own[own[flag]]
        axes.scatter(some["day"], some["daily"], color=colour, zorder=2, label=flag.removeprefix("is_"))
    axes.set(title=f"Customer {number}", ylabel="kWh a day" if number == 1 else "")
    axes.set_ylim(bottom=min(0, own["daily"].min()))
    axes.tick_params(axis="x", rotation=90)
_ = all_axes[0].legend()

# %% [markdown]
# ## Estimates in a row
#
# How many readings were the first, second, third … estimate in a row. What was estimated too low for long is billed
# at once later.

# %%
runs = lake.ask("""
SELECT CAST(estimates_in_a_row AS INTEGER) AS in_a_row, count(*) AS readings, count(DISTINCT customer_id) AS customers
FROM reading_rows WHERE estimates_in_a_row > 0 GROUP BY estimates_in_a_row ORDER BY in_a_row
""")
picture, axes = plt.subplots(figsize=(8, 4))
colours = [style.VERMILLION if number >= 3 else style.BLUE for number in runs["in_a_row"]]
axes.bar(runs["in_a_row"], runs["readings"], color=colours)
axes.set(title="Estimated readings by their place in a row of estimates", xlabel="estimate in a row", ylabel="readings")
axes.set_xticks(runs["in_a_row"])
runs

# %% [markdown]
# ## Where energy is lost, and bills are low
#
# A point is a feeder: right of the line it loses more than 15 % of its energy. Losses and low bills together are a
# reason to look, no proof. Bills follow the energy by weeks, so short histories show more loss than there is.

# %%
feeders = lake.figure("loss_of_feeders", "feeder_id").merge(lake.figure("low_bills", "feeder_id"), on="feeder_id")
picture, axes = plt.subplots(figsize=(8, 5))
suspect = feeders["loss_of_feeders"] > 0.15
axes.scatter(feeders["loss_of_feeders"], feeders["low_bills"], color=np.where(suspect, style.VERMILLION, style.BLUE))
axes.axvline(0.15, color=style.GREY, linestyle=":")
axes.set(title="Feeders", xlabel="distribution loss", ylabel="share of low bills")
feeders.sort_values("loss_of_feeders", ascending=False).head(5)

# %% [markdown]
# ## In numbers
#
# The figures of `meterlake kpi utility … --by total`, over all days of the lakehouse.

# %%
figures = {
    name: lake.total(name)
    for name in (
        "invoices", "high_bills", "low_bills", "amount_at_risk", "estimated_three_times", "duplicate_invoices",
        "distribution_loss", "suspected_theft",
    )
} | {"estimates_in_a_row": dict(zip(runs["in_a_row"].tolist(), runs["readings"].tolist(), strict=True))}  # fmt: skip
figures
