-- The verdicts and facts of the landed records once more, in DuckDB's SQL, written by hand.
--
-- Given: landed (record, source_partition, source_offset, arrived_at, value), a row each record of what runs have read.
-- Wanted: verdicts (record, accepted, rejected, duplicate, superseded, conflicting, undecodable), and a view for each
-- fact with its keys of date and time and the event's own fields.

CREATE MACRO txt(j, path) AS nullif(j ->> path, '');
CREATE MACRO whole(x) AS try_cast(CASE WHEN regexp_full_match(x, '-?[0-9]+') THEN x END AS INTEGER);
CREATE MACRO cents(x) AS CASE
    WHEN try_cast(x AS DECIMAL(38, 12)) = try_cast(x AS DECIMAL(18, 2)) THEN try_cast(x AS DECIMAL(18, 2)) END;
CREATE MACRO mills(x) AS CASE
    WHEN try_cast(x AS DECIMAL(38, 12)) = try_cast(x AS DECIMAL(18, 3)) THEN try_cast(x AS DECIMAL(18, 3)) END;
CREATE MACRO moment(x) AS CASE
    WHEN regexp_matches(x, '(Z|[+-][0-9]{2}:?[0-9]{2})$') THEN timezone('UTC', try_cast(x AS TIMESTAMPTZ)) END;
CREATE MACRO flag(x) AS CASE x WHEN 'true' THEN true WHEN 'false' THEN false END;
-- What is there but is no value of its type is wrong; what is not there may be missing.
CREATE MACRO either(raw, v) AS raw IS NULL OR v IS NOT NULL;
-- The day that an id names, of 1970-01-01, is the time's in some time zone.
CREATE MACRO day_ok(days, t) AS coalesce(abs(date_diff('day', DATE '1970-01-01', CAST(t AS DATE)) - whole(days)) <= 1, false);
CREATE MACRO class_ok(x) AS coalesce(x IN ('residential', 'commercial', 'industrial', 'agricultural'), false);

CREATE TABLE documents AS
SELECT record, source_partition, source_offset, arrived_at,
    CASE WHEN json_valid(text) AND json_type(text) = 'OBJECT' THEN text END AS j
FROM (SELECT *, try(decode(value)) AS text FROM landed);

CREATE TABLE grid AS
SELECT DISTINCT j ->> 'feeder_id' AS key FROM documents WHERE record = 'feeders' AND j IS NOT NULL;
CREATE TABLE partners AS
SELECT DISTINCT j ->> 'customer_id' AS key FROM documents WHERE record = 'customers' AND j IS NOT NULL;
CREATE TABLE rates AS
SELECT DISTINCT j ->> 'tariff_id' AS key FROM documents WHERE record = 'tariffs' AND j IS NOT NULL;
CREATE MACRO feeder_ok(x) AS coalesce(x IN (SELECT key FROM grid), false);
CREATE MACRO customer_ok(x) AS coalesce(x IN (SELECT key FROM partners), false);

CREATE TABLE read_outages AS
SELECT *, feeder_ok(feeder_id) AND device_type IN ('feeder', 'transformer') AND device_id IS NOT NULL AND is_planned IS NOT NULL
    AND (cause IS NULL OR cause IN ('weather', 'vegetation', 'equipment', 'overload', 'third_party', 'animal', 'planned_work',
        'unknown'))
    AND heard_from IN ('customer', 'scada', 'plan') AND customers_interrupted >= 0 AND operations >= 1 AND interrupted_kva >= 0
    AND either(txt(j, 'restored_at'), restored_at) AND coalesce(restored_at >= began_at, true)
    AND coalesce(on_site_at >= dispatched_at, true) AS is_good
FROM (SELECT txt(j, 'outage_id') AS id, began_at AS happened, *
    FROM (SELECT source_partition, source_offset, arrived_at, j, txt(j, 'outage_id') AS outage_id,
    txt(j, 'feeder_id') AS feeder_id, txt(j, 'device_type') AS device_type, txt(j, 'device_id') AS device_id,
    flag(txt(j, 'is_planned')) AS is_planned, txt(j, 'cause') AS cause, moment(txt(j, 'cause_known_at')) AS cause_known_at,
    txt(j, 'heard_from') AS heard_from, moment(txt(j, 'announced_at')) AS announced_at,
    moment(txt(j, 'planned_end_at')) AS planned_end_at, moment(txt(j, 'began_at')) AS began_at,
    moment(txt(j, 'estimated_at')) AS estimated_at, moment(txt(j, 'dispatched_at')) AS dispatched_at,
    moment(txt(j, 'on_site_at')) AS on_site_at, moment(txt(j, 'restored_at')) AS restored_at, txt(j, 'crew_id') AS crew_id,
    txt(j, 'crew_shift') AS crew_shift, whole(txt(j, 'customers_interrupted')) AS customers_interrupted,
    whole(txt(j, 'operations')) AS operations, cents(txt(j, 'interrupted_kva')) AS interrupted_kva,
    flag(txt(j, 'is_deleted')) AS is_deleted FROM documents WHERE record = 'outages'));

CREATE TABLE read_outage_steps AS
SELECT *, outage_id IS NOT NULL AND customer_ok(customer_id) AND feeder_ok(feeder_id) AND class_ok(customer_class)
    AND restoration_step >= 1 AND connected_kva >= 0 AND either(txt(j, 'on_at'), on_at)
    AND coalesce(on_at >= off_at, true) AS is_good
FROM (SELECT source_partition, source_offset, arrived_at, j, txt(j, 'step_id') AS id, moment(txt(j, 'off_at')) AS happened,
    txt(j, 'step_id') AS step_id, txt(j, 'outage_id') AS outage_id, txt(j, 'customer_id') AS customer_id,
    txt(j, 'feeder_id') AS feeder_id, txt(j, 'customer_class') AS customer_class,
    whole(txt(j, 'restoration_step')) AS restoration_step, moment(txt(j, 'off_at')) AS off_at,
    moment(txt(j, 'on_at')) AS on_at, cents(txt(j, 'connected_kva')) AS connected_kva,
    flag(txt(j, 'is_deleted')) AS is_deleted FROM documents WHERE record = 'outage_steps');

CREATE TABLE read_trouble_calls AS
SELECT *, customer_ok(customer_id) AND feeder_ok(feeder_id) AS is_good
FROM (SELECT source_partition, source_offset, arrived_at, j, txt(j, 'call_id') AS id, moment(txt(j, 'called_at')) AS happened,
    txt(j, 'call_id') AS call_id, txt(j, 'outage_id') AS outage_id, txt(j, 'customer_id') AS customer_id,
    txt(j, 'feeder_id') AS feeder_id, moment(txt(j, 'called_at')) AS called_at
    FROM documents WHERE record = 'trouble_calls');

CREATE TABLE read_feeder_days AS
SELECT *, feeder_ok(feeder_id) AND energy_input_kwh >= 0 AND customers_served >= 0 AND connected_kva >= 0
    AND either(txt(j, 'weather_forecast'), weather_forecast) AND day_ok(regexp_extract(id, '^.+-([0-9]+)$', 1), day_start) AS is_good
FROM (SELECT source_partition, source_offset, arrived_at, j, txt(j, 'feeder_day_id') AS id, moment(txt(j, 'day_start')) AS happened,
    txt(j, 'feeder_day_id') AS feeder_day_id, txt(j, 'feeder_id') AS feeder_id, moment(txt(j, 'day_start')) AS day_start,
    mills(txt(j, 'energy_input_kwh')) AS energy_input_kwh, whole(txt(j, 'customers_served')) AS customers_served,
    cents(txt(j, 'connected_kva')) AS connected_kva, cents(txt(j, 'weather_forecast')) AS weather_forecast
    FROM documents WHERE record = 'feeder_days');

CREATE TABLE read_feeder_loads AS
SELECT *, feeder_ok(feeder_id) AND load_kw >= 0
    AND day_ok(regexp_extract(id, '^.+-([0-9]+)-[0-9]{2}$', 1), hour_start) AS is_good
FROM (SELECT source_partition, source_offset, arrived_at, j, txt(j, 'load_id') AS id, moment(txt(j, 'hour_start')) AS happened,
    txt(j, 'load_id') AS load_id, txt(j, 'feeder_id') AS feeder_id, moment(txt(j, 'hour_start')) AS hour_start,
    mills(txt(j, 'load_kw')) AS load_kw FROM documents WHERE record = 'feeder_loads');

CREATE TABLE read_transformer_days AS
SELECT *, transformer_id IS NOT NULL AND feeder_ok(feeder_id) AND peak_kva >= 0 AND overload_hours >= 0
    AND day_ok(regexp_extract(id, '^.+-([0-9]+)$', 1), day_start) AS is_good
FROM (SELECT source_partition, source_offset, arrived_at, j, txt(j, 'transformer_day_id') AS id,
    moment(txt(j, 'day_start')) AS happened, txt(j, 'transformer_day_id') AS transformer_day_id,
    txt(j, 'transformer_id') AS transformer_id, txt(j, 'feeder_id') AS feeder_id, moment(txt(j, 'day_start')) AS day_start,
    cents(txt(j, 'peak_kva')) AS peak_kva, whole(txt(j, 'overload_hours')) AS overload_hours
    FROM documents WHERE record = 'transformer_days');

CREATE TABLE read_complaints AS
SELECT *, customer_ok(customer_id) AND feeder_ok(feeder_id) AND class_ok(customer_class)
    AND complaint_type IN ('outage', 'billing', 'voltage', 'meter', 'service')
    AND channel IN ('call', 'app', 'web', 'centre', 'social') AND promised_by IS NOT NULL AND contacts >= 1
    AND coalesce(first_response_at >= opened_at, true) AND coalesce(resolved_at >= opened_at, true) AS is_good
FROM (SELECT source_partition, source_offset, arrived_at, j, txt(j, 'complaint_id') AS id, moment(txt(j, 'opened_at')) AS happened,
    txt(j, 'complaint_id') AS complaint_id, txt(j, 'customer_id') AS customer_id, txt(j, 'feeder_id') AS feeder_id,
    txt(j, 'customer_class') AS customer_class, txt(j, 'complaint_type') AS complaint_type, txt(j, 'channel') AS channel,
    moment(txt(j, 'opened_at')) AS opened_at, moment(txt(j, 'first_response_at')) AS first_response_at,
    moment(txt(j, 'promised_by')) AS promised_by, moment(txt(j, 'resolved_at')) AS resolved_at,
    moment(txt(j, 'reopened_at')) AS reopened_at, whole(txt(j, 'contacts')) AS contacts, txt(j, 'outage_id') AS outage_id
    FROM documents WHERE record = 'complaints');

CREATE TABLE read_service_orders AS
SELECT *, customer_id IS NOT NULL AND feeder_ok(feeder_id) AND class_ok(customer_class)
    AND order_type IN ('new_connection', 'disconnection', 'reconnection') AND coalesce(completed_at >= requested_at, true)
    AND either(txt(j, 'amount_due'), amount_due) AND coalesce(amount_due >= 0, true) AS is_good
FROM (SELECT source_partition, source_offset, arrived_at, j, txt(j, 'order_id') AS id, moment(txt(j, 'requested_at')) AS happened,
    txt(j, 'order_id') AS order_id, txt(j, 'order_type') AS order_type, txt(j, 'customer_id') AS customer_id,
    txt(j, 'feeder_id') AS feeder_id, txt(j, 'customer_class') AS customer_class,
    moment(txt(j, 'requested_at')) AS requested_at, moment(txt(j, 'completed_at')) AS completed_at,
    cents(txt(j, 'amount_due')) AS amount_due FROM documents WHERE record = 'service_orders');

CREATE TABLE read_meter_readings AS
SELECT *, customer_ok(customer_id) AND feeder_ok(feeder_id) AND class_ok(customer_class) AND device_id IS NOT NULL
    AND reading_type IN ('actual', 'estimated') AND reading_reason IN ('periodic', 'meter_change', 'roll_over')
    AND register_kwh >= 0 AND consumption_kwh IS NOT NULL AND status IN ('active', 'inactive')
    AND estimates_in_a_row >= 0 AS is_good
FROM (SELECT source_partition, source_offset, arrived_at, j, txt(j, 'reading_id') AS id, moment(txt(j, 'read_at')) AS happened,
    txt(j, 'reading_id') AS reading_id, txt(j, 'customer_id') AS customer_id, txt(j, 'feeder_id') AS feeder_id,
    txt(j, 'customer_class') AS customer_class, txt(j, 'device_id') AS device_id, moment(txt(j, 'read_at')) AS read_at,
    txt(j, 'reading_type') AS reading_type, txt(j, 'reading_reason') AS reading_reason,
    mills(txt(j, 'register_kwh')) AS register_kwh, mills(txt(j, 'consumption_kwh')) AS consumption_kwh,
    txt(j, 'status') AS status, whole(txt(j, 'estimates_in_a_row')) AS estimates_in_a_row
    FROM documents WHERE record = 'meter_readings');

CREATE TABLE read_invoice_lines AS
SELECT *, invoice_id IS NOT NULL AND line_type IN ('energy', 'fixed', 'tax')
    AND invoice_type IN ('regular', 'correction', 'duplicate') AND reading_id IS NOT NULL AND customer_ok(customer_id)
    AND feeder_ok(feeder_id) AND class_ok(customer_class) AND tariff_id IN (SELECT key FROM rates) AND read_at IS NOT NULL
    AND period_from <= period_to AND due_on IS NOT NULL AND kwh IS NOT NULL AND amount IS NOT NULL
    AND is_back_billed IS NOT NULL AND coalesce(reversed_at >= invoiced_at, true) AS is_good
FROM (SELECT source_partition, source_offset, arrived_at, j, txt(j, 'line_id') AS id, moment(txt(j, 'invoiced_at')) AS happened,
    txt(j, 'line_id') AS line_id, txt(j, 'invoice_id') AS invoice_id, txt(j, 'line_type') AS line_type,
    txt(j, 'invoice_type') AS invoice_type, txt(j, 'reading_id') AS reading_id, txt(j, 'customer_id') AS customer_id,
    txt(j, 'feeder_id') AS feeder_id, txt(j, 'customer_class') AS customer_class, txt(j, 'tariff_id') AS tariff_id,
    moment(txt(j, 'invoiced_at')) AS invoiced_at, moment(txt(j, 'read_at')) AS read_at,
    try_cast(txt(j, 'period_from') AS DATE) AS period_from, try_cast(txt(j, 'period_to') AS DATE) AS period_to,
    try_cast(txt(j, 'due_on') AS DATE) AS due_on, mills(txt(j, 'kwh')) AS kwh, cents(txt(j, 'amount')) AS amount,
    flag(txt(j, 'is_back_billed')) AS is_back_billed, moment(txt(j, 'reversed_at')) AS reversed_at
    FROM documents WHERE record = 'invoice_lines');

CREATE TABLE read_payments AS
SELECT *, invoice_id IS NOT NULL AND customer_ok(customer_id) AND feeder_ok(feeder_id) AND class_ok(customer_class)
    AND channel IN ('bank', 'app', 'cash', 'direct_debit') AND amount >= 0 AS is_good
FROM (SELECT source_partition, source_offset, arrived_at, j, txt(j, 'payment_id') AS id, moment(txt(j, 'paid_at')) AS happened,
    txt(j, 'payment_id') AS payment_id, txt(j, 'invoice_id') AS invoice_id, txt(j, 'customer_id') AS customer_id,
    txt(j, 'feeder_id') AS feeder_id, txt(j, 'customer_class') AS customer_class, moment(txt(j, 'paid_at')) AS paid_at,
    txt(j, 'channel') AS channel, cents(txt(j, 'amount')) AS amount FROM documents WHERE record = 'payments');

CREATE TABLE read_dunnings AS
SELECT *, invoice_id IS NOT NULL AND customer_ok(customer_id) AND feeder_ok(feeder_id) AND class_ok(customer_class)
    AND dunning_level >= 1 AND amount >= 0 AS is_good
FROM (SELECT source_partition, source_offset, arrived_at, j, txt(j, 'dunning_id') AS id, moment(txt(j, 'sent_at')) AS happened,
    txt(j, 'dunning_id') AS dunning_id, txt(j, 'invoice_id') AS invoice_id, txt(j, 'customer_id') AS customer_id,
    txt(j, 'feeder_id') AS feeder_id, txt(j, 'customer_class') AS customer_class,
    whole(txt(j, 'dunning_level')) AS dunning_level, moment(txt(j, 'sent_at')) AS sent_at, cents(txt(j, 'amount')) AS amount
    FROM documents WHERE record = 'dunnings');

CREATE TABLE read_instalments AS
SELECT *, plan_id IS NOT NULL AND invoice_id IS NOT NULL AND customer_ok(customer_id) AND feeder_ok(feeder_id)
    AND class_ok(customer_class) AND amount >= 0 AS is_good
FROM (SELECT source_partition, source_offset, arrived_at, j, txt(j, 'instalment_id') AS id, moment(txt(j, 'due_at')) AS happened,
    txt(j, 'instalment_id') AS instalment_id, txt(j, 'plan_id') AS plan_id, txt(j, 'invoice_id') AS invoice_id,
    txt(j, 'customer_id') AS customer_id, txt(j, 'feeder_id') AS feeder_id, txt(j, 'customer_class') AS customer_class,
    moment(txt(j, 'due_at')) AS due_at, moment(txt(j, 'paid_at')) AS paid_at, cents(txt(j, 'amount')) AS amount
    FROM documents WHERE record = 'instalments');

-- Of several records with one id the highest revision counts, then the latest. Without an id a record is alone.
CREATE MACRO ranked(name, ahead) AS TABLE
SELECT *, coalesce(is_good AND id IS NOT NULL AND happened <= arrived_at + ahead, false) AS is_accepted,
    first_value(version) OVER one AS best_version, first_value(payload) OVER one AS best_payload,
    row_number() OVER one AS place
FROM (SELECT *, coalesce(id, source_partition || '-' || source_offset) AS record_id,
        coalesce(try_cast(j ->> 'revision' AS BIGINT), 0) AS version,
        json_merge_patch(j, '{"changed_at": null, "revision": null}') AS payload
    FROM query_table(name) WHERE j IS NOT NULL)
WINDOW one AS (PARTITION BY record_id ORDER BY version DESC, arrived_at DESC, source_partition DESC, source_offset DESC);

CREATE MACRO account(name, what, ahead) AS TABLE
SELECT what AS record, count(*) FILTER (place = 1 AND is_accepted) AS accepted,
    count(*) FILTER (place = 1 AND NOT is_accepted) AS rejected,
    count(*) FILTER (place > 1 AND version = best_version AND payload = best_payload) AS duplicate,
    count(*) FILTER (version < best_version) AS superseded,
    count(*) FILTER (place > 1 AND version = best_version AND payload <> best_payload) AS conflicting,
    (SELECT count(*) FROM documents WHERE documents.record = what AND j IS NULL) AS undecodable
FROM ranked(name, ahead);

CREATE MACRO soon() AS INTERVAL 5 MINUTE;
CREATE VIEW verdicts AS
FROM account('read_outages', 'outages', soon()) UNION ALL FROM account('read_outage_steps', 'outage_steps', soon())
UNION ALL FROM account('read_trouble_calls', 'trouble_calls', soon())
UNION ALL FROM account('read_feeder_days', 'feeder_days', soon())
UNION ALL FROM account('read_feeder_loads', 'feeder_loads', soon())
UNION ALL FROM account('read_transformer_days', 'transformer_days', soon())
UNION ALL FROM account('read_complaints', 'complaints', soon())
UNION ALL FROM account('read_service_orders', 'service_orders', soon())
UNION ALL FROM account('read_meter_readings', 'meter_readings', soon())
UNION ALL FROM account('read_invoice_lines', 'invoice_lines', soon())
UNION ALL FROM account('read_payments', 'payments', soon()) UNION ALL FROM account('read_dunnings', 'dunnings', soon())
UNION ALL FROM account('read_instalments', 'instalments', INTERVAL 400 DAY);

CREATE MACRO fact(name, ahead) AS TABLE
SELECT md5(record_id) AS transaction_sk, strftime(local, '%Y%m%d') AS date_sk,
    CAST(hour(local) * 3600 + minute(local) * 60 + second(local) AS INTEGER) AS time_sk,
    * EXCLUDE (source_partition, source_offset, arrived_at, j, id, happened, is_good, is_accepted, record_id, version, payload,
        best_version, best_payload, place, local)
FROM (SELECT *, timezone('Asia/Karachi', timezone('UTC', happened)) AS local
    FROM ranked(name, ahead) WHERE place = 1 AND is_accepted);

CREATE VIEW fact_outage AS FROM fact('read_outages', soon()) WHERE is_deleted IS DISTINCT FROM true;
CREATE VIEW fact_outage_customer_step AS FROM fact('read_outage_steps', soon()) WHERE is_deleted IS DISTINCT FROM true;
CREATE VIEW fact_trouble_call AS FROM fact('read_trouble_calls', soon());
CREATE VIEW fact_feeder_energy_day AS FROM fact('read_feeder_days', soon());
CREATE VIEW fact_feeder_load_hour AS FROM fact('read_feeder_loads', soon());
CREATE VIEW fact_transformer_day AS FROM fact('read_transformer_days', soon());
CREATE VIEW fact_complaint AS FROM fact('read_complaints', soon());
CREATE VIEW fact_service_order AS FROM fact('read_service_orders', soon());
CREATE VIEW fact_meter_reading AS FROM fact('read_meter_readings', soon());
CREATE VIEW fact_invoice_line AS FROM fact('read_invoice_lines', soon());
CREATE VIEW fact_payment AS FROM fact('read_payments', soon());
CREATE VIEW fact_dunning AS FROM fact('read_dunnings', soon());
CREATE VIEW fact_instalment AS FROM fact('read_instalments', INTERVAL 400 DAY);
