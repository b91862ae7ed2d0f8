-- The verdicts and facts of the landed records once more, in DuckDB's SQL, written by hand.
--
-- Given: landed (record, source_partition, source_offset, arrived_at, value), a row each record of what runs have read.
-- Wanted: verdicts (record, accepted, rejected, duplicate, superseded, conflicting, undecodable), and a view for each
-- fact with its keys of date and time and the event's own fields.

CREATE MACRO txt(j, path) AS nullif(j ->> path, '');
CREATE MACRO phone_ok(x) AS coalesce(regexp_full_match(x, '\+[1-9][0-9]{6,14}'), false);
CREATE MACRO tac_ok(x) AS coalesce(regexp_full_match(x, '[0-9]{8}'), false);
CREATE MACRO currency_ok(x) AS coalesce(x IN ('EGP', 'USD', 'EUR'), false);
CREATE MACRO whole(x) AS try_cast(CASE WHEN regexp_full_match(x, '-?[0-9]+') THEN x END AS INTEGER);
CREATE MACRO money(x) AS CASE
    WHEN try_cast(x AS DECIMAL(38, 12)) = try_cast(x AS DECIMAL(18, 2)) THEN try_cast(x AS DECIMAL(18, 2)) END;
CREATE MACRO moment(x) AS CASE
    WHEN regexp_matches(x, '(Z|[+-][0-9]{2}:?[0-9]{2})$') THEN timezone('UTC', try_cast(x AS TIMESTAMPTZ)) END;
CREATE MACRO flag(x) AS CASE x WHEN 'true' THEN true WHEN 'false' THEN false END;
CREATE MACRO check_digit_ok(x) AS coalesce(regexp_full_match(x, '[0-9]+') AND list_sum(list_transform(
    range(1, length(x) + 1),
    lambda i: CASE WHEN (length(x) - i) % 2 = 0 THEN CAST(x[i] AS INTEGER)
        WHEN CAST(x[i] AS INTEGER) > 4 THEN 2 * CAST(x[i] AS INTEGER) - 9 ELSE 2 * CAST(x[i] AS INTEGER) END)) % 10 = 0,
    false);

CREATE TABLE documents AS
SELECT record, source_partition, source_offset, arrived_at,
    CASE WHEN json_valid(text) AND json_type(text) = 'OBJECT' THEN text END AS j
FROM (SELECT *, try(decode(value)) AS text FROM landed);

CREATE TABLE known_cells AS
SELECT DISTINCT j ->> 'cell_id' AS key FROM documents WHERE record = 'cell_sites' AND j IS NOT NULL;
CREATE TABLE known_agents AS
SELECT DISTINCT j ->> 'agent_id' AS key FROM documents WHERE record = 'agents' AND j IS NOT NULL;

CREATE MACRO ends_ok(from_phone, to_phone, from_imei, to_imei, from_tac, to_tac) AS
    phone_ok(from_phone) AND phone_ok(to_phone) AND check_digit_ok(from_imei) AND check_digit_ok(to_imei)
    AND tac_ok(from_tac) AND tac_ok(to_tac) AND from_imei[1:8] = from_tac AND to_imei[1:8] = to_tac;
CREATE MACRO cells_ok(one, other) AS
    one IN (SELECT key FROM known_cells) AND other IN (SELECT key FROM known_cells);

CREATE TABLE read_calls AS
SELECT *, ends_ok(from_phone_number, to_phone_number, from_imei, to_imei, from_tac, to_tac)
    AND cells_ok(from_cell_site, to_cell_site)
    AND event_type IS NOT NULL AND status IN ('completed', 'dropped', 'missed', 'busy', 'failed')
    AND call_duration_seconds BETWEEN 0 AND 86400 AND (status IN ('completed', 'dropped')) = (call_duration_seconds > 0)
    AND amount >= 0 AND currency_ok(currency) AND call_type IN ('voice', 'video') AS is_good
FROM (SELECT source_partition, source_offset, arrived_at, j, txt(j, 'call_id') AS id, txt(j, 'call_id') AS call_id,
    txt(j, 'event_type') AS event_type, txt(j, 'from_phone_number') AS from_phone_number,
    txt(j, 'to_phone_number') AS to_phone_number, txt(j, 'from_cell_site') AS from_cell_site,
    txt(j, 'to_cell_site') AS to_cell_site, txt(j, 'from_imei') AS from_imei, txt(j, 'to_imei') AS to_imei,
    txt(j, 'from_tac') AS from_tac, txt(j, 'to_tac') AS to_tac, moment(txt(j, 'timestamp')) AS "timestamp",
    txt(j, 'status') AS status, whole(txt(j, 'call_duration_seconds')) AS call_duration_seconds,
    money(txt(j, 'amount')) AS amount, txt(j, 'currency') AS currency, txt(j, 'call_type') AS call_type
    FROM documents WHERE record = 'calls');

CREATE TABLE read_sms AS
SELECT *, ends_ok(from_phone_number, to_phone_number, from_imei, to_imei, from_tac, to_tac)
    AND cells_ok(from_cell_site, to_cell_site)
    AND event_type IS NOT NULL AND status IN ('delivered', 'failed') AND jitter_ms BETWEEN 0 AND 60000
    AND latency_ms BETWEEN 0 AND 600000 AND signal_strength_dbm BETWEEN -150 AND 0
    AND amount >= 0 AND currency_ok(currency) AS is_good
FROM (SELECT source_partition, source_offset, arrived_at, j, txt(j, 'sms_id') AS id, txt(j, 'sms_id') AS sms_id,
    txt(j, 'event_type') AS event_type, txt(j, 'from_phone_number') AS from_phone_number,
    txt(j, 'to_phone_number') AS to_phone_number, txt(j, 'from_cell_site') AS from_cell_site,
    txt(j, 'to_cell_site') AS to_cell_site, txt(j, 'from_imei') AS from_imei, txt(j, 'to_imei') AS to_imei,
    txt(j, 'from_tac') AS from_tac, txt(j, 'to_tac') AS to_tac, moment(txt(j, 'timestamp')) AS "timestamp",
    txt(j, 'status') AS status, whole(txt(j, 'jitter_ms')) AS jitter_ms, whole(txt(j, 'latency_ms')) AS latency_ms,
    whole(txt(j, 'signal_strength_dbm')) AS signal_strength_dbm,
    money(txt(j, 'amount')) AS amount, txt(j, 'currency') AS currency
    FROM documents WHERE record = 'sms');

CREATE TABLE read_payments AS
SELECT *, event_type IS NOT NULL AND phone_ok(customer_phone) AND phone_ok(phone_number)
    AND payment_type IN ('invoice', 'instalment', 'fee') AND payment_amount >= 0
    AND payment_method IN ('card', 'cash', 'wallet', 'bank_transfer', 'voucher')
    AND status IN ('completed', 'declined', 'pending') AND transaction_id IS NOT NULL AND amount >= 0
    AND currency_ok(currency) AND invoice_number IS NOT NULL AND seasonal_multiplier BETWEEN 0 AND 10
    AND amount <= payment_amount AS is_good
FROM (SELECT source_partition, source_offset, arrived_at, j, txt(j, 'payment_id') AS id,
    txt(j, 'payment_id') AS payment_id, txt(j, 'event_type') AS event_type, txt(j, 'customer_phone') AS customer_phone,
    txt(j, 'phone_number') AS phone_number, txt(j, 'payment_type') AS payment_type,
    money(txt(j, 'payment_amount')) AS payment_amount, txt(j, 'payment_method') AS payment_method,
    txt(j, 'status') AS status, txt(j, 'transaction_id') AS transaction_id, money(txt(j, 'amount')) AS amount,
    txt(j, 'currency') AS currency, txt(j, 'invoice_number') AS invoice_number,
    try_cast(txt(j, 'seasonal_multiplier') AS DOUBLE) AS seasonal_multiplier, moment(txt(j, 'timestamp')) AS "timestamp"
    FROM documents WHERE record = 'payments');

CREATE TABLE read_recharges AS
SELECT *, event_type IS NOT NULL AND phone_ok(customer) AND phone_ok(phone_number) AND amount >= 1
    AND currency_ok(currency) AND payment_method IN ('card', 'cash', 'wallet', 'bank_transfer', 'voucher')
    AND balance_after = balance_before + amount AS is_good
FROM (SELECT source_partition, source_offset, arrived_at, j, txt(j, 'transaction_id') AS id,
    txt(j, 'transaction_id') AS transaction_id, txt(j, 'event_type') AS event_type, txt(j, 'customer') AS customer,
    money(txt(j, 'balance_after')) AS balance_after, money(txt(j, 'balance_before')) AS balance_before,
    money(txt(j, 'amount')) AS amount, txt(j, 'currency') AS currency, txt(j, 'payment_method') AS payment_method,
    txt(j, 'phone_number') AS phone_number, moment(txt(j, 'timestamp')) AS "timestamp"
    FROM documents WHERE record = 'recharges');

CREATE TABLE read_support AS
SELECT *, event_type IS NOT NULL AND phone_ok(customer_phone) AND phone_ok(phone_number)
    AND channel IN ('call', 'chat', 'email', 'store') AND reason IN ('network', 'billing', 'device', 'plan', 'other')
    AND wait_time_seconds BETWEEN 0 AND 86400
    AND (txt(j, 'resolution_time_seconds') IS NULL OR resolution_time_seconds BETWEEN 0 AND 2592000)
    AND agent_id IN (SELECT key FROM known_agents)
    AND (txt(j, 'satisfaction_score') IS NULL OR satisfaction_score BETWEEN 1 AND 5)
    AND first_call_resolution IS NOT NULL AND escalated IS NOT NULL AND call_back_requested IS NOT NULL
    AND (NOT first_call_resolution OR resolution_time_seconds IS NOT NULL) AS is_good
FROM (SELECT source_partition, source_offset, arrived_at, j, txt(j, 'support_id') AS id,
    txt(j, 'support_id') AS support_id, txt(j, 'event_type') AS event_type, txt(j, 'customer_phone') AS customer_phone,
    txt(j, 'phone_number') AS phone_number, txt(j, 'channel') AS channel, txt(j, 'reason') AS reason,
    whole(txt(j, 'wait_time_seconds')) AS wait_time_seconds,
    whole(txt(j, 'resolution_time_seconds')) AS resolution_time_seconds, txt(j, 'agent_id') AS agent_id,
    whole(txt(j, 'satisfaction_score')) AS satisfaction_score, flag(txt(j, 'first_call_resolution')) AS first_call_resolution,
    flag(txt(j, 'escalated')) AS escalated, flag(txt(j, 'call_back_requested')) AS call_back_requested,
    moment(txt(j, 'timestamp')) AS "timestamp"
    FROM documents WHERE record = 'support');

-- Of several records with one id the highest revision counts, then the latest. Without an id a record is alone.
CREATE MACRO ranked(name) AS TABLE
SELECT *, coalesce(is_good AND id IS NOT NULL AND "timestamp" <= arrived_at + INTERVAL 5 MINUTE, false) AS is_accepted,
    first_value(version) OVER one AS best_version, first_value(payload) OVER one AS best_payload,
    row_number() OVER one AS place
FROM (SELECT *, coalesce(id, source_partition || '-' || source_offset) AS record_id,
        coalesce(try_cast(j ->> 'revision' AS BIGINT), 0) AS version,
        -- What nobody declared makes no other record.
        json_merge_patch(j, '{"new_field": null, "revision": null}') AS payload
    FROM query_table(name) WHERE j IS NOT NULL)
WINDOW one AS (PARTITION BY record_id ORDER BY version DESC, arrived_at DESC, source_partition DESC, source_offset DESC);

CREATE MACRO account(name, what) AS TABLE
SELECT what AS record, count(*) FILTER (place = 1 AND is_accepted) AS accepted,
    count(*) FILTER (place = 1 AND NOT is_accepted) AS rejected,
    count(*) FILTER (place > 1 AND version = best_version AND payload = best_payload) AS duplicate,
    count(*) FILTER (version < best_version) AS superseded,
    count(*) FILTER (place > 1 AND version = best_version AND payload <> best_payload) AS conflicting,
    (SELECT count(*) FROM documents WHERE documents.record = what AND j IS NULL) AS undecodable
FROM ranked(name);

CREATE VIEW verdicts AS
FROM account('read_calls', 'calls') UNION ALL FROM account('read_sms', 'sms')
UNION ALL FROM account('read_payments', 'payments') UNION ALL FROM account('read_recharges', 'recharges')
UNION ALL FROM account('read_support', 'support');

CREATE MACRO fact(name) AS TABLE
SELECT md5(record_id) AS transaction_sk, strftime(local, '%Y%m%d') AS date_sk,
    CAST(hour(local) * 3600 + minute(local) * 60 + second(local) AS INTEGER) AS time_sk,
    * EXCLUDE (source_partition, source_offset, arrived_at, j, id, is_good, is_accepted, record_id, version, payload,
        best_version, best_payload, place, local)
FROM (SELECT *, timezone('Africa/Cairo', timezone('UTC', "timestamp")) AS local
    FROM ranked(name) WHERE place = 1 AND is_accepted);

CREATE VIEW fact_calls AS FROM fact('read_calls');
CREATE VIEW fact_sms AS FROM fact('read_sms');
CREATE VIEW fact_payment AS FROM fact('read_payments');
CREATE VIEW fact_recharge AS FROM fact('read_recharges');
CREATE VIEW fact_support AS FROM fact('read_support');
