"""Background work in durable rows.

The row is the truth. A runner owns a job for as long as its lease runs; a handler may be started
again by another runner at any point of its work.
"""
