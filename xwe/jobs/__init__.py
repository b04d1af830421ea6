"""Background work in durable rows.

The row is the truth. A runner owns a job until its lease expires. Handlers may be started again at
any time, by any runner.
"""
