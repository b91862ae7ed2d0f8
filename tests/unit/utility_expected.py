"""What the figures of the utility must be: a query over the source databases for each, written apart from the declaration.

They use the tables and names of the sources, DuckDB's own functions, and local time by adding five hours.
"""

# Rows of SQL are wider than lines of code.
# ruff: noqa: E501, S608
from __future__ import annotations

PRELUDE = """
CREATE MACRO mins(a, b) AS epoch(b - a) / 60;
CREATE MACRO loc(x) AS x + INTERVAL 5 HOUR;
CREATE TABLE hit AS SELECT s.*, o.is_planned, o.cause, o.operations, epoch(s.on_at - s.off_at)::BIGINT / 60 AS m
    FROM outage_customer_steps s JOIN outages o USING (outage_id) WHERE s.on_at IS NOT NULL;
CREATE TABLE nt AS SELECT sum(customers_served) / count(DISTINCT day_start) AS n, sum(connected_kva) / count(DISTINCT day_start) AS kva,
    count(DISTINCT day_start) AS days, max(day_start) + INTERVAL 1 DAY AS ends FROM feeder_energy_days;
CREATE TABLE long AS SELECT * FROM hit WHERE m > 5;
CREATE TABLE per AS SELECT GPART AS c, count(*) AS n, sum(m) AS m, max(m) AS longest FROM
    (SELECT customer_id AS GPART, m FROM long) GROUP BY 1;
CREATE TABLE anyhow AS SELECT customer_id, count(*) AS n FROM hit GROUP BY 1;
CREATE TABLE fault AS SELECT *, epoch(restored_at - began_at) AS s FROM outages
    WHERE is_planned = false AND (restored_at IS NULL OR epoch(restored_at - began_at) > 300);
CREATE TABLE bill AS SELECT OPBEL, any_value(invoice_type) AS kind, any_value(ABLBELNR) AS reading, any_value(GPART) AS c,
    any_value(feeder_id) AS f, any_value(BUDAT) AS made, any_value(read_at) AS read_at, any_value(AB) AS ab, any_value(BIS) AS bis,
    any_value(FAEDN) AS due, any_value(is_back_billed) AS back, any_value(STOKZ_DAT) AS gone, sum(kwh) AS kwh, sum(NETTOBTR) AS money
    FROM dberdlb GROUP BY OPBEL;
-- One bill a reading counts: the first that was not reversed.
CREATE TABLE good AS SELECT * FROM bill b WHERE gone IS NULL AND NOT EXISTS (SELECT 1 FROM bill x WHERE x.reading = b.reading
    AND x.gone IS NULL AND (x.made < b.made OR (x.made = b.made AND x.OPBEL < b.OPBEL)));
CREATE TABLE uses AS SELECT *, kwh::DOUBLE / (bis - ab + 1) AS d, month(bis) IN (4, 5, 6, 7, 8, 9) AS warm FROM good;
CREATE TABLE hist AS SELECT u.OPBEL, list(b.d) AS ds FROM uses u JOIN uses b ON b.c = u.c AND b.warm = u.warm AND b.made < u.made
    GROUP BY 1 HAVING count(*) >= 3;
CREATE TABLE odd AS SELECT u.*, med, (SELECT quantile_disc(abs(x - med), 0.5) FROM unnest(ds) t(x)) AS mad FROM
    (SELECT h.OPBEL AS id, ds, (SELECT quantile_disc(x, 0.5) FROM unnest(h.ds) t(x)) AS med FROM hist h) JOIN uses u ON u.OPBEL = id;
CREATE TABLE lost AS SELECT e.feeder_id, 1 - (SELECT sum(kwh) FROM good WHERE f = e.feeder_id) / sum(e.energy_input_kwh) AS loss
    FROM feeder_energy_days e GROUP BY 1;
CREATE TABLE load AS SELECT hour_start, sum(load_kw::DOUBLE) AS kw FROM feeder_load_hours GROUP BY 1;
CREATE TABLE owed AS SELECT g.*, money - coalesce((SELECT sum(BETRZ) FROM dfkkzp p WHERE p.OPBEL = g.OPBEL), 0) AS rest,
    coalesce((SELECT sum(BETRZ) FROM dfkkzp p WHERE p.OPBEL = g.OPBEL AND loc(p.paid_at)::DATE <= g.due), 0) AS early FROM good g;
CREATE TABLE day_saidi AS SELECT loc(day_start)::DATE AS d, sum(customers_served) AS n,
    coalesce((SELECT sum(m) FROM long l WHERE loc(l.off_at)::DATE = loc(e.day_start)::DATE), 0) / sum(customers_served) AS saidi
    FROM feeder_energy_days e GROUP BY day_start;
CREATE TABLE med AS SELECT y, (SELECT exp(avg(ln(saidi)) + 2.5 * stddev_samp(ln(saidi))) FROM day_saidi
    WHERE year(d) BETWEEN y - 5 AND y - 1 AND saidi > 0) AS t FROM (SELECT DISTINCT year(d) AS y FROM day_saidi);
CREATE TABLE major AS SELECT d FROM day_saidi JOIN med ON y = year(d) WHERE saidi > t;
-- Of eight feeders the tenth that is predicted worst is one.
CREATE TABLE foretold AS SELECT p.feeder_id, p.date_sk, is_predicted AS yes,
    (SELECT count(*) FROM outages o WHERE o.feeder_id = p.feeder_id AND NOT is_planned AND strftime(loc(began_at), '%Y%m%d') = p.date_sk) AS n,
    coalesce((SELECT sum(m) FROM long l WHERE l.feeder_id = p.feeder_id AND NOT is_planned AND strftime(loc(off_at), '%Y%m%d') = p.date_sk), 0)
        AS m, row_number() OVER (PARTITION BY date_sk ORDER BY probability DESC, feeder_id) AS place FROM outage_predictions p;
CREATE TABLE ordinary AS SELECT * FROM long WHERE loc(off_at)::DATE NOT IN (SELECT d FROM major);
"""

_SHARE = "SELECT 1.0"

EXPECTED = {
    "saifi": "SELECT count(*) / (SELECT n FROM nt) FROM long",
    "saifi_without_major": "SELECT count(*) / (SELECT n FROM nt) FROM ordinary",
    "saidi": "SELECT sum(m) / (SELECT n FROM nt) FROM long",
    "saidi_without_major": "SELECT sum(m) / (SELECT n FROM nt) FROM ordinary",
    "caidi": "SELECT avg(m) FROM long",
    "caidi_without_major": "SELECT avg(m) FROM ordinary",
    "caifi": "SELECT count(*) / count(DISTINCT customer_id) FROM long",
    "ctaidi": "SELECT sum(m) / count(DISTINCT customer_id) FROM long",
    "asai": "SELECT 1 - sum(m) / (SELECT sum(customers_served) * 24 * 60 FROM feeder_energy_days) FROM long",
    "maifi": "SELECT sum(operations) / (SELECT n FROM nt) FROM hit WHERE m <= 5",
    "maifi_e": "SELECT count(*) / (SELECT n FROM nt) FROM hit WHERE m <= 5",
    **{f"cemi_{n}": f"SELECT count(*) / (SELECT n FROM nt) FROM per WHERE n >= {n}" for n in (1, 3, 6)},
    **{f"cemsmi_{n}": f"SELECT count(*) / (SELECT n FROM nt) FROM anyhow WHERE n >= {n}" for n in (1, 3, 6)},
    **{f"celid_s_{n}": f"SELECT count(*) / (SELECT n FROM nt) FROM per WHERE longest >= {n} * 60" for n in (4, 8, 12)},
    **{f"celid_t_{n}": f"SELECT count(*) / (SELECT n FROM nt) FROM per WHERE m >= {n} * 60" for n in (4, 8, 12)},
    "asifi": "SELECT sum(connected_kva) / (SELECT kva FROM nt) FROM long",
    "asidi": "SELECT sum(connected_kva * m) / (SELECT kva FROM nt) FROM long",
    "major_event_days": "SELECT count(*) FROM major",
    "t_med": "SELECT max(t) FROM med",
    "saidi_on_major": "SELECT coalesce(sum(m), 0) / (SELECT n FROM nt) FROM long WHERE loc(off_at)::DATE IN (SELECT d FROM major)",
    "outages_unplanned": "SELECT count(*) FROM outages WHERE is_planned = false",
    "planned_share": "SELECT avg(is_planned::INT) FROM outages",
    "outages_per_100_km": "SELECT count(*) / (SELECT sum(length_km) FROM feeders WHERE (feeder_id, valid_from) IN"
    " (SELECT feeder_id, min(valid_from) FROM feeders GROUP BY 1)) * 100 FROM outages WHERE NOT is_planned",
    "customer_minutes_lost": "SELECT sum(m) FROM long",
    "energy_not_served": "WITH h AS (SELECT feeder_id, hour(loc(hour_start)) AS h, avg(load_kw::DOUBLE) AS kw FROM feeder_load_hours"
    " GROUP BY ALL) SELECT sum(kw * (m / 60) * s.connected_kva::DOUBLE / e.connected_kva::DOUBLE) FROM hit s JOIN h ON h.feeder_id = s.feeder_id"
    " AND h.h = hour(loc(off_at)) JOIN feeder_energy_days e ON e.feeder_id = s.feeder_id"
    " AND loc(e.day_start)::DATE = loc(s.off_at)::DATE",
    "time_to_dispatch": "SELECT avg(mins(began_at, dispatched_at)) FROM outages",
    "time_to_arrival": "SELECT avg(mins(dispatched_at, on_site_at)) FROM outages",
    "time_on_site": "SELECT avg(mins(on_site_at, restored_at)) FROM outages",
    "restoration_median": "SELECT quantile_disc(s, 0.5) / 60 FROM fault",
    "restoration_p95": "SELECT quantile_disc(s, 0.95) / 60 FROM fault",
    **{f"restored_within_{n}_h": f"SELECT avg((s <= {n} * 3600)::INT) FROM fault" for n in (1, 3, 8)},
    "days_between_faults": "SELECT (SELECT count(*) FROM feeder_energy_days) / count(*) FROM fault",
    **{
        name: f"SELECT avg((EXISTS (SELECT 1 FROM fault x WHERE x.feeder_id = f.feeder_id AND x.outage_id <> f.outage_id AND"
        f" (x.began_at, x.outage_id) < (f.began_at, f.outage_id) AND x.began_at >= f.began_at - INTERVAL {hours} HOUR))::INT) FROM fault f"
        for name, hours in (("repeated_within_24_h", 24), ("repeated_within_7_d", 168))
    },
    "share_on_worst_feeders": "SELECT sum(x) FILTER (WHERE r <= ceil(0.1 * (SELECT count(DISTINCT feeder_id) FROM feeders))) / sum(x)"
    " FROM (SELECT sum(m) AS x, row_number() OVER (ORDER BY sum(m) DESC) AS r FROM long GROUP BY feeder_id)",
    "estimate_error_median": "SELECT quantile_disc(abs(epoch(restored_at - estimated_at)), 0.5) / 60 FROM outages",
    "estimate_error_p90": "SELECT quantile_disc(abs(epoch(restored_at - estimated_at)), 0.9) / 60 FROM outages",
    "planned_overrun": "SELECT avg(greatest(mins(planned_end_at, restored_at), 0)) FROM outages WHERE is_planned",
    "planned_announced": "SELECT avg((began_at - announced_at >= INTERVAL 48 HOUR)::INT) FROM outages WHERE is_planned",
    "calls_per_outage": "SELECT (SELECT count(*) FROM trouble_calls) / count(*) FROM fault",
    "heard_from_customers": "SELECT avg((heard_from = 'customer')::INT) FROM fault",
    "without_cause": "SELECT avg((coalesce(cause_known_at, (SELECT ends FROM nt)) - began_at > INTERVAL 7 DAY)::INT) FROM outages"
    " WHERE NOT is_planned",
    "outages_per_shift": "SELECT count(*) / count(DISTINCT (crew_id, crew_shift, loc(began_at)::DATE)) FROM outages"
    " WHERE crew_id IS NOT NULL",
    "complaints_per_1000": "SELECT 1000 * count(*) / (SELECT n FROM nt) FROM complaints",
    "first_response_median": "SELECT quantile_disc(epoch(first_response_at - opened_at), 0.5) / 3600 FROM complaints",
    "first_response_p95": "SELECT quantile_disc(epoch(first_response_at - opened_at), 0.95) / 3600 FROM complaints",
    "resolution_median": "SELECT quantile_disc(epoch(resolved_at - opened_at), 0.5) / 3600 FROM complaints",
    "resolution_p95": "SELECT quantile_disc(epoch(resolved_at - opened_at), 0.95) / 3600 FROM complaints",
    "promises_kept": "SELECT avg((resolved_at IS NOT NULL AND resolved_at <= promised_by)::INT) FROM complaints"
    " WHERE resolved_at IS NOT NULL OR promised_by < (SELECT ends FROM nt)",
    "complaints_open": "SELECT count(*) FROM complaints WHERE resolved_at IS NULL",
    "age_of_open": "SELECT avg(epoch((SELECT ends FROM nt) - opened_at)) / 86400 FROM complaints WHERE resolved_at IS NULL",
    "reopened": "SELECT avg((reopened_at IS NOT NULL)::INT) FROM complaints",
    "first_contact": "SELECT avg((contacts = 1)::INT) FROM complaints WHERE resolved_at IS NOT NULL",
    "frequent_complainers": "SELECT count(DISTINCT customer_id) FROM (SELECT customer_id, count(*) OVER (PARTITION BY customer_id"
    " ORDER BY opened_at RANGE BETWEEN INTERVAL '89 days 23:59:59' PRECEDING AND CURRENT ROW) AS n FROM complaints) WHERE n >= 3",
    "complaints_of_outages": "SELECT avg((outage_id IS NOT NULL)::INT) FROM complaints",
    "billing_complaints": "SELECT 1000 * count(*) / (SELECT count(*) FROM bill) FROM complaints WHERE complaint_type = 'billing'",
    "connection_days": "SELECT avg(epoch(completed_at - requested_at)) / 86400 FROM service_orders WHERE order_type = 'new_connection'",
    "reconnection_hours": "SELECT avg(epoch(completed_at - requested_at)) / 3600 FROM service_orders WHERE order_type = 'reconnection'",
    "complaints_after_outage": "SELECT 1000 * sum((SELECT count(*) FROM complaints c WHERE c.outage_id = l.outage_id"
    " AND c.customer_id = l.customer_id)) / count(*) FROM long l WHERE NOT is_planned",
    "invoices": "SELECT count(*) FROM bill",
    "billed_energy": "SELECT sum(kwh) FROM good",
    "billed_amount": "SELECT sum(money) FROM good",
    "mean_price": "SELECT sum(money) / sum(kwh) FROM good",
    "reading_to_invoice": "SELECT avg(epoch(made - read_at)) / 86400 FROM bill WHERE kind = 'regular'",
    "not_billed": "SELECT count(*) FROM eabl WHERE ABLBELNR NOT IN (SELECT reading FROM bill)"
    " AND ADAT < (SELECT ends FROM nt) - INTERVAL 10 DAY",
    "estimated_readings": "SELECT avg((ABLESTYP = 'estimated')::INT) FROM eabl",
    "estimated_three_times": "SELECT count(DISTINCT GPART) FROM eabl WHERE estimates_in_a_row > 2",
    "reversed_invoices": "SELECT avg((gone IS NOT NULL OR kind = 'correction')::INT) FROM bill",
    "duplicate_invoices": "SELECT sum(n - 1) FROM (SELECT count(*) AS n FROM bill WHERE gone IS NULL GROUP BY reading)",
    "zero_consumption": "SELECT avg((consumption_kwh = 0)::INT) FROM eabl WHERE status = 'active'",
    "negative_consumption": "SELECT count(*) FROM eabl WHERE consumption_kwh < 0",
    "high_bills": "SELECT avg((d > med + 3 * mad)::INT) FROM odd",
    "low_bills": "SELECT avg((d < med - 3 * mad)::INT) FROM odd",
    "odd_cycles": "SELECT avg((bis - ab + 1 < 28 OR bis - ab + 1 > 33)::INT) FROM bill WHERE kind = 'regular'",
    "back_billed": "SELECT sum(kwh) FROM good WHERE back",
    "meter_changes": "SELECT count(*) FROM eabl WHERE ABLESGR IN ('meter_change', 'roll_over')",
    "amount_at_risk": "SELECT sum(abs(money)) FROM good WHERE kwh < 0 OR OPBEL IN"
    " (SELECT OPBEL FROM odd WHERE d > med + 3 * mad OR d < med - 3 * mad)",
    "energy_input": "SELECT sum(energy_input_kwh) FROM feeder_energy_days",
    "distribution_loss": "SELECT 1 - (SELECT sum(kwh) FROM good) / sum(energy_input_kwh) FROM feeder_energy_days",
    "billing_efficiency": "SELECT (SELECT sum(kwh) FROM good) / sum(energy_input_kwh) FROM feeder_energy_days",
    "collection_efficiency": "SELECT (SELECT sum(BETRZ) FROM dfkkzp) / sum(money) FROM good",
    "atc_loss": "SELECT 1 - (SELECT sum(kwh) FROM good) / sum(energy_input_kwh) * (SELECT sum(BETRZ) FROM dfkkzp)"
    " / (SELECT sum(money) FROM good) FROM feeder_energy_days",
    "days_sales_outstanding": "SELECT (sum(money) - (SELECT sum(BETRZ) FROM dfkkzp)) / sum(money) * (SELECT days FROM nt) FROM good",
    "receivables_by_age": "SELECT sum(rest) FROM owed WHERE rest > 0 AND due < (SELECT max(loc(day_start)::DATE) FROM feeder_energy_days)",
    "paid_in_time": "SELECT avg((early >= money)::INT) FROM owed WHERE due < (SELECT max(loc(day_start)::DATE) FROM feeder_energy_days)",
    "plans_kept": "SELECT avg(ok::INT) FROM (SELECT bool_and(coalesce(paid_at <= due_at, false)) AS ok FROM fkk_instpln"
    " WHERE due_at <= (SELECT ends FROM nt) GROUP BY plan_id)",
    "dunning_notices": "SELECT count(*) FROM fkkmaze",
    "dunning_brought_in": "SELECT sum(BETRZ) FROM fkkmaze d JOIN dfkkzp p USING (OPBEL) WHERE epoch(p.paid_at - d.sent_at) >= 0"
    " AND epoch(p.paid_at - d.sent_at) < 15 * 86400",
    "disconnections": "SELECT count(*) FROM service_orders WHERE order_type = 'disconnection'",
    "recovered_after_disconnection": "SELECT sum(amount_due) FILTER (WHERE order_type = 'reconnection')"
    " / sum(amount_due) FILTER (WHERE order_type = 'disconnection') FROM service_orders",
    "loss_of_feeders": "SELECT 1 - (SELECT sum(kwh) FROM good) / sum(energy_input_kwh) FROM feeder_energy_days",
    "suspected_theft": "SELECT count(DISTINCT c) FROM odd WHERE d < med - 3 * mad"
    " AND f IN (SELECT feeder_id FROM lost WHERE loss > 0.15)",
    "feeder_peak": "SELECT max(kw) FROM load",
    "load_factor": "SELECT avg(kw) / max(kw) FROM load",
    "utilisation": "SELECT max(load_kw / (SELECT arg_max(rating_kw, valid_from) FROM feeders f WHERE f.feeder_id = l.feeder_id"
    " AND f.valid_from <= l.hour_start)) FROM feeder_load_hours l",
    "overload_hours": "SELECT sum(overload_hours) FROM transformer_days",
    "contradicting_feeders": "SELECT count(*) FROM (SELECT customer_id, arg_max(feeder_id, valid_from) AS f,"
    " arg_max(transformer_id, valid_from) AS t FROM customers GROUP BY 1) JOIN transformers x ON x.transformer_id = t AND x.feeder_id <> f",
    **{
        name: f"SELECT count(*) FROM foretold WHERE {test}"
        for name, test in (
            ("predicted_hits", "yes AND n > 0"),
            ("predicted_misses", "NOT yes AND n > 0"),
            ("predicted_false_alarms", "yes AND n = 0"),
        )
    },
    "minutes_on_predicted": "SELECT sum(m) FROM foretold WHERE place <= 1",
    "share_on_predicted": "SELECT sum(m) FILTER (WHERE place <= 1) / sum(m) FROM foretold",
    "energy_per_customer": "SELECT sum(consumption_kwh) / count(DISTINCT GPART) FROM eabl",
}
"""Name of a figure: its value over all that the sources hold."""

_MONTH = "strftime(loc({}), '%Y%m')"
_BEFORE = "strftime(loc({}) + INTERVAL 1 YEAR, '%Y%m')"

GROUPED = {
    (
        "share_by_cause",
        ("cause",),
    ): "SELECT coalesce(cause, 'unknown'), count(*) / (SELECT count(*) FROM outages WHERE NOT is_planned)"
    " FROM outages WHERE NOT is_planned GROUP BY 1 UNION ALL SELECT 'planned_work', 0",
    (
        "complaints_by_type",
        ("complaint_type",),
    ): "SELECT complaint_type, count(*) / (SELECT count(*) FROM complaints) FROM complaints GROUP BY 1",
    (
        "complaints_by_channel",
        ("channel",),
    ): "SELECT channel, count(*) / (SELECT count(*) FROM complaints) FROM complaints GROUP BY 1",
    (
        "payments_by_channel",
        ("channel",),
    ): "SELECT channel, sum(BETRZ) / (SELECT sum(BETRZ) FROM dfkkzp) FROM dfkkzp GROUP BY 1",
    (
        "saidi",
        ("month",),
    ): f"WITH a AS (SELECT {_MONTH.format('off_at')} AS k, sum(m) AS m FROM long GROUP BY 1), b AS (SELECT"
    f" {_MONTH.format('day_start')} AS k, sum(customers_served) / count(DISTINCT day_start) AS n FROM feeder_energy_days GROUP BY 1)"
    " SELECT b.k, m / n FROM b LEFT JOIN a USING (k)",
    (
        "saifi",
        ("region",),
    ): "WITH f AS (SELECT DISTINCT feeder_id, region FROM feeders), a AS (SELECT region, count(*) AS m FROM long"
    " JOIN f USING (feeder_id) GROUP BY 1), b AS (SELECT region, sum(customers_served) / count(DISTINCT day_start) AS n FROM"
    " feeder_energy_days JOIN f USING (feeder_id) GROUP BY 1) SELECT b.region, m / n FROM b JOIN a USING (region)",
    (
        "cemi_6",
        ("region",),
    ): "WITH f AS (SELECT DISTINCT feeder_id, region FROM feeders), a AS (SELECT region, count(*) AS m FROM"
    " (SELECT region, customer_id FROM long JOIN f USING (feeder_id) GROUP BY ALL HAVING count(*) >= 6) GROUP BY 1), b AS (SELECT"
    " region, sum(customers_served) / count(DISTINCT day_start) AS n FROM feeder_energy_days JOIN f USING (feeder_id) GROUP BY 1)"
    " SELECT b.region, m / n FROM b JOIN a USING (region)",
    (
        "share_on_worst_feeders",
        ("region",),
    ): "WITH f AS (SELECT DISTINCT feeder_id, region FROM feeders), x AS (SELECT region, feeder_id,"
    " sum(m) AS s FROM long JOIN f USING (feeder_id) GROUP BY ALL) SELECT region, (SELECT sum(s) FROM (SELECT s FROM x WHERE"
    " x.region = y.region ORDER BY s DESC LIMIT 1)) / sum(s) FROM x y GROUP BY region",
    ("loss_of_feeders", ("feeder_id",)): "SELECT feeder_id, loss FROM lost",
    ("feeder_peak", ("feeder_id",)): "SELECT feeder_id, max(load_kw)::DOUBLE FROM feeder_load_hours GROUP BY 1",
    ("dunning_notices", ("dunning_level",)): "SELECT MAHNS, count(*) FROM fkkmaze GROUP BY 1",
    (
        "receivables_by_age",
        ("age",),
    ): "SELECT a, sum(CASE WHEN rest > 0 AND due < e THEN rest END) FROM (SELECT rest, due, e, CASE WHEN e - due"
    " <= 30 THEN '0-30 d' WHEN e - due <= 60 THEN '31-60 d' WHEN e - due <= 90 THEN '61-90 d' WHEN e - due <= 180"
    " THEN '91-180 d' ELSE 'over 180 d' END AS a FROM owed, (SELECT max(loc(day_start)::DATE) AS e FROM feeder_energy_days)) GROUP BY 1",
    (
        "complaints_after_outage",
        ("duration",),
    ): "SELECT CASE WHEN m < 60 THEN '0-1 h' WHEN m < 180 THEN '1-3 h' WHEN m < 480 THEN '3-8 h'"
    " ELSE '8 h and more' END, 1000 * count(complaint_id) / count(*) FROM long l LEFT JOIN complaints c ON c.outage_id = l.outage_id"
    " AND c.customer_id = l.customer_id WHERE NOT is_planned GROUP BY 1",
    (
        "energy_per_customer",
        ("customer_class",),
    ): "SELECT customer_class, sum(consumption_kwh) / count(DISTINCT GPART) FROM eabl GROUP BY 1",
    (
        "complaints_open",
        ("month",),
    ): f"WITH d AS (SELECT {_MONTH.format('day_start')} AS k, max(day_start) + INTERVAL 1 DAY AS e FROM"
    " feeder_energy_days GROUP BY 1) SELECT k, (SELECT count(*) FROM complaints WHERE opened_at < e AND (resolved_at IS NULL OR"
    " resolved_at >= e)) FROM d",
    **{
        (
            name,
            ("month",),
        ): f"WITH a AS (SELECT {_MONTH.format('day_start')} AS k, sum({what}) / count(DISTINCT day_start) AS x FROM"
        f" feeder_energy_days GROUP BY 1), b AS (SELECT {_BEFORE.format('day_start')} AS k, sum({what}) / count(DISTINCT day_start) AS y"
        " FROM feeder_energy_days GROUP BY 1) SELECT k, x / y - 1 FROM a FULL JOIN b USING (k)"
        for name, what in (("customer_growth", "customers_served"), ("energy_growth", "energy_input_kwh"))
    },
    (
        "saidi_to_year_before",
        ("month",),
    ): f"WITH n AS (SELECT {_MONTH.format('day_start')} AS k, sum(customers_served) /"
    f" count(DISTINCT day_start) AS n FROM feeder_energy_days GROUP BY 1), m AS (SELECT {_MONTH.format('off_at')} AS k, sum(m) AS m"
    " FROM long GROUP BY 1), s AS (SELECT k, m / n AS s FROM n LEFT JOIN m USING (k)) SELECT k, a.s / b.s FROM s a FULL JOIN"
    " (SELECT (k::INT + 100)::VARCHAR AS k, s FROM s) b USING (k)",
}
"""Name of a figure and what it is by: the keys and its values."""
