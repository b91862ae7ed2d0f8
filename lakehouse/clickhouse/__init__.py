"""The gold tables in ClickHouse, and figures kept ready beside them."""
