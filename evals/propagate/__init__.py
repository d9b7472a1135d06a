"""Labels of a first frame carried on by features alone, with no training."""
