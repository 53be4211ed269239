"""One page kit for all pages."""
