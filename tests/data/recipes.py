"""Options of the recipe's source of videos, with some of them changed."""

from configs import mae


def videos(**changes):
  """Options of `data.sources.videos.make`, but for the path."""
  (options,) = mae.get_config('data=DATA').to_dict()['data']['sources'].values()
  for key in ('name', 'weight', 'path'):
    del options[key]
  return options | {'keys': ('video',)} | changes
