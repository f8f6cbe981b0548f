"""What a run has to show: pictures, one page to look at, one table for the terminal."""

from unlearnkit.report.numbers import NUMBERS_FILE
from unlearnkit.report.of_run import run_verdict
from unlearnkit.report.page import write_report
from unlearnkit.report.pictures import Picture, load_images, save_images
from unlearnkit.report.table import run_table, sentences, summary_table
from unlearnkit.report.verdict import Verdict, verdict

__all__ = [
    "NUMBERS_FILE", "Picture", "Verdict", "load_images",
    "run_table", "run_verdict", "save_images", "sentences", "summary_table", "verdict", "write_report",
]
