"""Bills: a meter's costs over some days, as a page that prints well."""
