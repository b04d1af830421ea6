"""What the process reports about itself: figures, log lines and spans.

::

    model call ──► Observation ──► Totals   since the start, for Prometheus
    request   ──►               └► History  the last minutes, for the system page
                                └► Spans    where OpenTelemetry is set up

Nothing here holds a prompt, a reply or a key.
"""
