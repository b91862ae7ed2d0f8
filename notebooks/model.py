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
# # The model of outages: what it knows, and what came
#
# It reads the registry of models and the answers of the utility's lakehouse through Trino, as the settings of the
# environment say. It needs a model (`meterlake train utility`) and a batch after it, which asks the model about new
# days; `make demo-utility` has both. docs/prediction.md says how models are compared.

# %%
import json

import matplotlib.pyplot as plt
import numpy as np

from lakehouse.frames import NothingToRead, opened
from serving_layer.reports import style

plt.rcParams.update(style.RC | {"figure.figsize": (12, 4.5), "figure.constrained_layout.use": True})
lake = opened("utility")
models = lake.ask(
    "SELECT version, made_at, algorithm, first_sk, last_sk, threshold, details FROM models ORDER BY version"
)
answers = lake.total("predicted_hits") + lake.total("predicted_misses") + lake.total("predicted_false_alarms")
if models.empty or not answers > 0:
    raise NothingToRead(
        "There is no model, or no day that it was asked about is over.",
        hint="`meterlake train utility`; then days must go by: `meterlake simulate utility --days 30`, `meterlake land"
        " utility`, `meterlake batch utility`.",
    )
models.drop(columns="details")

# %% [markdown]
# ## The latest model beside the others of its training
#
# F1 on the last fifth of the days, with the middle 90 % over samples of whole days. The grey ones learn nothing.

# %%
latest = models.iloc[-1]
details = json.loads(latest["details"])
results = details["results"]
learned = ("logistic regression", "gradient boosting", "dense network")
names = list(results)
values = np.array([[results[name]["f1"][key] for key in ("value", "low", "high")] for name in names])
picture, axes = plt.subplots()
for place, (name, (value, low, high)) in enumerate(zip(names, values, strict=True)):
    colour = style.GREEN if name == latest["algorithm"] else style.BLUE if name in learned else style.GREY
    axes.errorbar(value, place, xerr=[[max(0, value - low)], [max(0, high - value)]], fmt="o", color=colour, capsize=4)
axes.set_yticks(range(len(names)), names)
axes.invert_yaxis()
title = f"F1 in the test; kept: {latest['algorithm']}; an outage on {details['base_rate']:.1%} of feeders and days"
axes.set(title=title, xlabel="F1")
axes.grid(visible=True, axis="x")

# %% [markdown]
# ## What it looks at
#
# Permutation importance: how much average precision is lost when a feature is shuffled.

# %%
titles = lake.lakehouse.predictions[0].features
importance = sorted(details["importance"].items(), key=lambda item: item[1])[-12:]
picture, axes = plt.subplots()
axes.barh([titles[name] for name, _ in importance], [value for _, value in importance], color=style.BLUE)
axes.set(title="Importance of features", xlabel="loss of average precision")
axes.grid(visible=False, axis="y")
axes.grid(visible=True, axis="x")

# %% [markdown]
# ## Is 30 % really 30 %?
#
# Answers about days that are over, in ten groups of equal size by their probability: what was said, and how often an
# outage came. On the right: outages that are among the feeders predicted worst. A model that knows nothing follows
# the dotted line.

# %%
said = lake.ask("SELECT probability, has_come FROM predicted_rows ORDER BY probability, feeder_id, date_sk")
groups = [said.iloc[part] for part in np.array_split(np.arange(len(said)), min(10, len(said)))]
expected, came = ([group[name].mean() for group in groups] for name in ("probability", "has_come"))
picture, (left, right) = plt.subplots(1, 2)
limit = 1.05 * max(*expected, *came)
left.plot([0, limit], [0, limit], color=style.GREY, linestyle=":")
left.plot(expected, came, color=style.BLUE, marker="o")
left.set(title=f"Calibration: {len(said):,} answers", xlabel="probability that was said", ylabel="share with an outage")
worst_first = said.iloc[::-1]["has_come"].astype(float)
caught = worst_first.cumsum() / max(1.0, worst_first.sum())
right.plot(np.arange(1, len(said) + 1) / len(said), caught, color=style.BLUE)
right.plot([0, 1], [0, 1], color=style.GREY, linestyle=":")
_ = right.set(
    title="Outages on what was predicted worst", xlabel="share of feeders and days", ylabel="share of outages"
)

# %% [markdown]
# ## Hits, misses and false alarms by day

# %%
days = lake.ask("""
SELECT date_sk, count_if(is_predicted AND has_come) AS hits, count_if(NOT is_predicted AND has_come) AS misses,
    count_if(is_predicted AND NOT has_come) AS false_alarms
FROM predicted_rows GROUP BY date_sk ORDER BY date_sk
""")
day = days["date_sk"].astype("datetime64[ns]")
picture, axes = plt.subplots()
axes.bar(day, days["hits"], color=style.GREEN, label="hits")
axes.bar(day, days["misses"], bottom=days["hits"], color=style.VERMILLION, label="misses")
axes.bar(day, -days["false_alarms"], color=style.GREY, label="false alarms")
axes.axhline(0, color=style.INK, linewidth=0.8)
axes.set(title="Feeders with an outage, predicted or not; below zero those warned of in vain", ylabel="feeders")
axes.legend(ncols=3)
days.tail(5)

# %% [markdown]
# ## Why: the reasons that were given most

# %%
reasons = lake.ask("""
SELECT reason, count(*) AS warnings FROM outage_predictions
CROSS JOIN UNNEST(ARRAY[reason_1, reason_2, reason_3]) AS given (reason)
WHERE is_predicted AND reason IS NOT NULL GROUP BY reason ORDER BY warnings DESC
""")
reasons.head(10)

# %% [markdown]
# ## In numbers
#
# The figures of `meterlake kpi utility … --by total`, and how many answers there are.

# %%
figures = {
    "predicted_hits": lake.total("predicted_hits"),
    "predicted_misses": lake.total("predicted_misses"),
    "predicted_false_alarms": lake.total("predicted_false_alarms"),
    "minutes_on_predicted": lake.total("minutes_on_predicted"),
    "share_on_predicted": lake.total("share_on_predicted"),
    "answers": len(said),
    "share_with_outage": float(said["has_come"].mean()),
    "algorithm": latest["algorithm"],
}
figures
