"""VitalWatch: early, rare and explained alerts from streams of patients' vital signs."""

__version__ = "0.1.0"
