"""The bridge: other people's live messages become readings in the topic of a data set."""
