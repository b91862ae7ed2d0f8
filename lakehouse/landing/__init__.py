"""Landing: what sources sent, in objects that are never rewritten, each with a manifest that makes it count."""
