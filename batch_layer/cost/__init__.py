"""What energy costs: each meter's lines of each day, by the tariffs of its products, brought up to date."""
