"""The result of a demo: one JSON object, a few lines for a terminal, and a self-contained report.html."""

from sourcing.demo.report.page import write_report
from sourcing.demo.report.summary import summarise, summary_lines

__all__ = ["summarise", "summary_lines", "write_report"]
