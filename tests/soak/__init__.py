"""Workers and servers are killed while clients change their minds; then the account is drawn up."""
