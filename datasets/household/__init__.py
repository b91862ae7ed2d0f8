"""The household data set: UCI 235, one house, seven measures a minute."""
