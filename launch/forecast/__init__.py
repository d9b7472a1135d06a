"""What a job will be on its slice, known before anything is started.

`check` makes a `Forecast` or refuses the job, by the way that --plan says
(`flag`); launchers keep it (`of_dict` reads it again), and show what a run
measures beside it (`of_run`, `beside`).
"""

from launch.forecast.checked import HOW, check, flag
from launch.forecast.told import Forecast, beside, of_dict, of_run

__all__ = ['HOW', 'Forecast', 'beside', 'check', 'flag', 'of_dict', 'of_run']
