"""Producers: the sensor simulator. A recorded history becomes the live readings of any number of meters.

``history`` reads the file, ``fleet`` says which meters there are, ``script`` what each of them measures when,
``faults`` what goes wrong, ``pace`` when a reading is sent, the sinks where to; ``simulate`` joins them.
"""
