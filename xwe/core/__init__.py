"""The core: threads and the loop (`concurrency`), and talking to the model (`nlp`)."""
