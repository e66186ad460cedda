"""What `geartrain.testing` has for the tests of others."""
