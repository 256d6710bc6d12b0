"""Sealing and opening secrets: an AES-256-GCM envelope, one data key per tenant."""
