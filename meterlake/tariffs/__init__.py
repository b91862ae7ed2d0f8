"""Tariffs: prices with the days from which they hold, what half hours cost by them, and bills. Pure, exact in money.

``file`` reads a file of tariffs, ``declaration`` is what it holds, ``cost`` computes, ``bill`` makes a bill's lines.

Money is counted in whole units of 10^-9 of the currency: a price has at most six digits after the point, a measure's
resolution three, so that a product of both is a whole number. Only the lines of a bill are rounded: to hundredths,
halves up.
"""
