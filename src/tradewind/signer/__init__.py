"""The only room that opens exchange keys: it seals them and signs with them."""
