"""Validation and estimation: which readings are implausible, and what most likely was where none can be used. Pure.

``declaration`` says what a data set declares, ``grid`` brings a meter's rows onto their time grid, ``rules`` finds what
is implausible, ``estimation`` fills gaps, ``registers`` makes estimates add up to what a register has counted,
``meter`` joins these for one meter. All counting is in integers, units of the measure's resolution.
"""
