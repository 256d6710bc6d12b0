"""Who did what: append-only, hash-chained, in the transaction of the change."""
