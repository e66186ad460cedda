"""The broker and a journal under millions of seeded random steps, beside an independent model of both."""
