"""The network: cells, the output head, and the file that holds a trained one.

Knows torch and the table of vital signs; knows nothing of streams, patients' state or alarms.
"""
