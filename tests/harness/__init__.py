"""What every room of tests uses: processes that are never left behind, job servers, and a raw wire peer."""
