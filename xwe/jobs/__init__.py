"""Background work: what a job's handler is given, and a runner that takes jobs out of a store.

The store's rows are the truth. A runner owns a job only for as long as its lease runs, and a
handler may be begun again by another runner at any point of its work.
"""
