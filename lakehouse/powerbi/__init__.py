"""A lakehouse's semantic model and report for Power BI, as the text that its projects are saved in."""
